"""Next pages: a token names the slate that it follows and the request that it continues.

The items of a slate are in the slate log, and each slate of a page says which one it follows; so a token stays short, works
on any gateway, and expires with the slates. It has a checksum and is no secret: a forged one can only leave items out.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
import zlib
from dataclasses import dataclass

from recency.v1 import recommendation_pb2

# More pages than this nobody turns; each costs a look at the slate log.
MAX_PAGES = 50
# The label of a slate that is a next page: the slate before it. No caller gives it.
PAGE_OF = "page_of"
_VERSION = 1
_HEAD = struct.Struct(">BB8s")
_CHECKSUM = struct.Struct(">I")
_KIND = b"recency page"
# What may differ between two pages: how they are asked for, not what is asked for.
_FREE = (
    "page_token",
    "page_size",
    "recent_events",
    "consistency_token",
    "strict_consistency",
    "max_staleness",
    "view",
    "explain",
    "trace",
    "validate_only",
)


@dataclass(frozen=True, slots=True)
class Page:
    """Which page is asked for (the first is 0), of which request, after which slate."""

    number: int
    request: bytes
    after: str


def request_digest(request: recommendation_pb2.RecommendRequest) -> bytes:
    """What of a request its pages must share, in eight bytes."""
    fixed = recommendation_pb2.RecommendRequest()
    fixed.CopyFrom(request)
    for name in _FREE:
        fixed.ClearField(name)
    return hashlib.sha256(fixed.SerializeToString(deterministic=True)).digest()[:8]


def encode_page(page: Page) -> str:
    """The token by which a page is asked for."""
    body = _HEAD.pack(_VERSION, page.number, page.request) + page.after.encode()
    checksum = _CHECKSUM.pack(zlib.crc32(body, zlib.crc32(_KIND)))
    return base64.urlsafe_b64encode(body + checksum).decode().rstrip("=")


def decode_page(token: str) -> Page | None:
    """The page of a token, None where it is not one that `encode_page` made."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        body = raw[: -_CHECKSUM.size]
        version, number, request = _HEAD.unpack_from(body)
        page = Page(number, request, body[_HEAD.size :].decode())
    except (binascii.Error, ValueError, struct.error):
        return None
    return page if version == _VERSION and encode_page(page) == token else None
