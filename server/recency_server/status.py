"""The one place that turns an error into what the caller sees: a status, a sentence, and details that a program can read.

docs/errors.md is the same table for callers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import grpc
import structlog
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from recency_inference import errors as inference_errors
from recency_server import errors
from recency_store import errors as store_errors

DETAILS_KEY = "grpc-status-details-bin"

_log = structlog.get_logger("recency.server")

_CODES: tuple[tuple[type[BaseException], grpc.StatusCode], ...] = (
    (errors.InvalidRequest, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotFound, grpc.StatusCode.NOT_FOUND),
    (errors.NotBuilt, grpc.StatusCode.UNIMPLEMENTED),
    (errors.WrongState, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.StaleRefused, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.Overloaded, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.TooLate, grpc.StatusCode.DEADLINE_EXCEEDED),
    (errors.Unavailable, grpc.StatusCode.UNAVAILABLE),
    (store_errors.StoreBusy, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (store_errors.StoreUnavailable, grpc.StatusCode.UNAVAILABLE),
    (store_errors.UnknownRelease, grpc.StatusCode.NOT_FOUND),
    (store_errors.RejectedRelease, grpc.StatusCode.FAILED_PRECONDITION),
    (inference_errors.Unavailable, grpc.StatusCode.UNAVAILABLE),
    (inference_errors.NotLoaded, grpc.StatusCode.UNAVAILABLE),
    (inference_errors.Overloaded, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (inference_errors.TooLate, grpc.StatusCode.DEADLINE_EXCEEDED),
    (TimeoutError, grpc.StatusCode.DEADLINE_EXCEEDED),
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the caller sees of an error."""

    code: grpc.StatusCode
    message: str
    trailing: tuple[tuple[str, bytes], ...] = ()


def refusal_of(error: BaseException, method: str, new_id: Callable[[], str]) -> Refusal:
    """The status of an error. What nobody foresaw is INTERNAL: the caller gets a number, and the log has it with the
    stack."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            message = str(error) or "the deadline has passed; ask with a longer one"
            return Refusal(code, message, _details(code, message, error))
    if isinstance(error, asyncio.CancelledError):
        return Refusal(grpc.StatusCode.CANCELLED, "the caller went away, or the gateway is closing")
    incident = new_id()
    _log.error("unexpected", method=method, incident=incident, error=type(error).__name__, exc_info=error)
    return Refusal(
        grpc.StatusCode.INTERNAL, f"something broke here; report it with incident {incident}, the log has it"
    )


def _details(code: grpc.StatusCode, message: str, error: BaseException) -> tuple[tuple[str, bytes], ...]:
    """The trailing google.rpc.Status; only errors about fields have more to say than their message."""
    if not isinstance(error, errors.InvalidRequest):
        return ()
    bad = error_details_pb2.BadRequest()
    for violation in error.violations:
        bad.field_violations.add(field=violation.field, description=violation.description)
    packed = any_pb2.Any()
    packed.Pack(bad)
    status = status_pb2.Status(code=code.value[0], message=message, details=[packed])
    return ((DETAILS_KEY, status.SerializeToString()),)
