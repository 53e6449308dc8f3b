"""Bytes → messages, and what is said of bytes that are none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from google.protobuf import message

from recency_server.errors import InvalidRequest, Violation


def reader(kind: type[message.Message]) -> Callable[[bytes], message.Message | None]:
    """Bytes to message, None where they are none: gRPC itself would answer UNKNOWN, with a class name of ours."""

    def read(raw: bytes) -> message.Message | None:
        try:
            return kind.FromString(raw)
        except message.DecodeError:
            return None

    return read


def readable(request: message.Message | None) -> message.Message:
    """The message; InvalidRequest where the bytes were none."""
    if request is None:
        raise InvalidRequest(Violation("", "the request is not a message of this type; strings must be UTF-8"))
    return request


async def all_readable(requests: AsyncIterator[message.Message | None]) -> AsyncIterator[message.Message]:
    """The messages of a stream, up to the first that is none."""
    async for request in requests:
        yield readable(request)
