"""Errors → statuses."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from recency_inference import errors as inference_errors
from recency_server import errors
from recency_server.admission import Admission
from recency_server.status import DETAILS_KEY, refusal_of
from recency_store import errors as store_errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotFound("x"), grpc.StatusCode.NOT_FOUND),
        (errors.NotBuilt("x"), grpc.StatusCode.UNIMPLEMENTED),
        (errors.StaleRefused("x"), grpc.StatusCode.FAILED_PRECONDITION),
        (errors.Overloaded("x"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errors.TooLate("x"), grpc.StatusCode.DEADLINE_EXCEEDED),
        (errors.Unavailable("x"), grpc.StatusCode.UNAVAILABLE),
        (errors.NoRelease("x"), grpc.StatusCode.UNAVAILABLE),
        (store_errors.StoreBusy("x"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (store_errors.StoreUnavailable("x"), grpc.StatusCode.UNAVAILABLE),
        (inference_errors.Unavailable("x"), grpc.StatusCode.UNAVAILABLE),
        (TimeoutError(), grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
)
def test_each_error_has_its_status_and_says_something(error: Exception, code: grpc.StatusCode) -> None:
    refusal = refusal_of(error, "Service/Method", lambda: "id")
    assert refusal.code is code
    assert refusal.message


def test_violations_travel_as_bad_request_details() -> None:
    error = errors.InvalidRequest(errors.Violation("a", "is bad"), errors.Violation("b", "is worse"))
    ((key, value),) = refusal_of(error, "Service/Method", lambda: "id").trailing
    assert key == DETAILS_KEY
    status = status_pb2.Status.FromString(value)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    bad = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad)
    assert [(v.field, v.description) for v in bad.field_violations] == [("a", "is bad"), ("b", "is worse")]


def test_a_bug_is_internal_with_an_incident_and_without_its_text() -> None:
    refusal = refusal_of(KeyError("secret"), "Service/Method", lambda: "incident-7")
    assert refusal.code is grpc.StatusCode.INTERNAL
    assert "incident-7" in refusal.message
    assert "secret" not in refusal.message


def test_admission_refuses_at_once_and_gives_places_back() -> None:
    admission = Admission("write", 1)
    with admission:
        with pytest.raises(errors.Overloaded), admission:
            pass
        assert admission.busy == 1
    with admission:
        pass
    assert (admission.busy, admission.refused) == (0, 1)
