"""What a release can do at a gateway, and whom a canary answers. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from hashlib import blake2b
from types import MappingProxyType

from recency_store.records import ReleaseState


class Role(enum.StrEnum):
    """What a gateway does with a release."""

    ACTIVE = "active"
    CANARY = "canary"
    SHADOW = "shadow"


STATE_OF: Mapping[Role, ReleaseState] = MappingProxyType(
    {Role.ACTIVE: ReleaseState.ACTIVE, Role.CANARY: ReleaseState.CANARY, Role.SHADOW: ReleaseState.SHADOW}
)


def canary_share(key: str, release: int) -> float:
    """Where a user stands in 0..1 for a canary: the same on every gateway and every day, so that a share that grows
    keeps whom it had; another for each release, so that it is not always the same people who try."""
    digest = blake2b(key.encode(), digest_size=8, person=b"canary", salt=release.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little") / 2.0**64
