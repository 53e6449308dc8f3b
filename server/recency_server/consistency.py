"""Consistency tokens: what a write hands out and a Recommend hands back, so that the answer reflects the write.

A token holds one sequence number of the store. It is versioned and has a checksum, so that a garbled one is refused
instead of waiting for a write that never was. It is no secret: who forges one can only ask for a later answer.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib

_VERSION = 1
_BODY = struct.Struct(">BQ")
_CHECKSUM = struct.Struct(">I")
# Mixed into the checksum, so that a token of another kind is never taken for one of these.
_KIND = b"recency consistency"
_MAX_SEQUENCE = 2**63 - 1
_CHARACTERS = 18


def encode_token(sequence: int) -> str:
    """The token of a write that got this sequence number."""
    body = _BODY.pack(_VERSION, sequence)
    checksum = _CHECKSUM.pack(zlib.crc32(body, zlib.crc32(_KIND)))
    return base64.urlsafe_b64encode(body + checksum).decode().rstrip("=")


def decode_token(token: str) -> int | None:
    """The sequence number in a token, or None where it is not one that `encode_token` made."""
    if len(token) != _CHARACTERS or not token.isascii():
        return None
    try:
        raw = base64.b64decode(token + "==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(raw) != _BODY.size + _CHECKSUM.size:
        return None
    version, sequence = _BODY.unpack_from(raw)
    if version != _VERSION or sequence > _MAX_SEQUENCE:
        return None
    # Encoding it again settles the checksum and the bits that base64 leaves open.
    return sequence if encode_token(sequence) == token else None
