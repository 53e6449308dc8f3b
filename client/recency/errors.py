"""What a call can raise, classed by what the caller does next.

RecencyError                 every error of this client; `code` is the gRPC status code
├── InvalidArgument          fix the request: `violations` names each field and what is wrong with it
├── NotFound                 there is no such item, user or release
├── FailedPrecondition       refused as things are: the answer would not reflect a token or be too stale, or a release
│                            cannot be moved from what it does now
├── Unimplemented            this server cannot do that yet
├── Overloaded               retry later; `retry_after_seconds` says when, where the server knows
├── Unavailable              retry: the server is away or starting, or its disk is full (retried already)
├── DeadlineExceeded         allow more time, or do without
└── ServerError              report: a defect of the server
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that is wrong (`events[3].item_id`), and how to mend it."""

    field: str
    description: str


class RecencyError(Exception):
    """A call that was not answered."""

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        violations: tuple[FieldViolation, ...] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.violations = violations
        self.retry_after_seconds = retry_after_seconds


class InvalidArgument(RecencyError):
    """The request is wrong; nothing was changed."""


class NotFound(RecencyError):
    """What was asked for is not there."""


class FailedPrecondition(RecencyError):
    """The server could not answer as strictly as asked, or a release is not in a state for what was asked."""


class Unimplemented(RecencyError):
    """The server does not know the call or the field."""


class Overloaded(RecencyError):
    """The server takes no more now."""


class Unavailable(RecencyError):
    """The server cannot be reached or cannot work now."""


class DeadlineExceeded(RecencyError):
    """The time given was not enough."""


class ServerError(RecencyError):
    """The server failed at something it should not fail at."""


_CLASSES: dict[grpc.StatusCode, type[RecencyError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.OUT_OF_RANGE: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.INTERNAL: ServerError,
    grpc.StatusCode.UNKNOWN: ServerError,
    grpc.StatusCode.DATA_LOSS: ServerError,
}


class FailedCall(Protocol):
    """What grpc's errors have in common, blocking and asyncio ones."""

    def code(self) -> grpc.StatusCode:
        """The status code."""
        ...

    def details(self) -> str | None:
        """The message."""
        ...


def from_call(error: FailedCall, metadata: Iterable[Any] | None) -> RecencyError:
    """A failed call as this client's error, with what its trailing metadata says of fields and retries."""
    violations: list[FieldViolation] = []
    retry_after_seconds = None
    for key, value in metadata or ():
        if key != _DETAILS_KEY or not isinstance(value, bytes):
            continue
        for detail in status_pb2.Status.FromString(value).details:
            bad_request = error_details_pb2.BadRequest()
            retry = error_details_pb2.RetryInfo()
            if detail.Unpack(bad_request):
                violations += (FieldViolation(v.field, v.description) for v in bad_request.field_violations)
            elif detail.Unpack(retry):
                retry_after_seconds = retry.retry_delay.ToNanoseconds() / 1e9
    return _CLASSES.get(error.code(), RecencyError)(
        error.details() or error.code().name,
        code=error.code(),
        violations=tuple(violations),
        retry_after_seconds=retry_after_seconds,
    )
