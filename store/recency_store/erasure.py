"""How an erased person is named: by a hash that says nothing to whoever does not have the store's salt."""

from __future__ import annotations

import hashlib

_DIGEST_BYTES = 16


def user_digest(salt: bytes, user_id: str) -> str:
    """The name of a user in tombstones and in the audit log."""
    return hashlib.blake2b(user_id.encode(), key=salt, digest_size=_DIGEST_BYTES).hexdigest()


def erasure_note(events: int, slates: int, attributes: bool, visitors: int) -> str:
    """What the audit log says of an erasure: counts alone."""
    said = f"erased {events} events, {slates} slates, {'attributes' if attributes else 'no attributes'}"
    return f"{said}, {visitors} merged visitors" if visitors else said
