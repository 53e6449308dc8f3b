"""Opaque page tokens of lists: where the last page ended, with a checksum that ties it to one list."""

from __future__ import annotations

import base64
import binascii
import zlib

from recency_server.limits import TOKEN_CHARACTERS

_CHECKSUM_BYTES = 4


def encode_page(kind: str, last: str) -> str:
    """The token of the page after `last`, for the list named `kind`."""
    body = last.encode()
    return base64.urlsafe_b64encode(_checksum(kind, body) + body).decode().rstrip("=")


def decode_page(kind: str, token: str) -> str | None:
    """Where the last page of the list `kind` ended, or None where `encode_page` did not make this token for it."""
    if len(token) > TOKEN_CHARACTERS or not token.isascii():
        return None
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        last = raw[_CHECKSUM_BYTES:].decode()
    except (binascii.Error, ValueError):
        return None
    return last if encode_page(kind, last) == token else None


def _checksum(kind: str, body: bytes) -> bytes:
    return zlib.crc32(body, zlib.crc32(kind.encode())).to_bytes(_CHECKSUM_BYTES, "big")
