"""The hand-written request is the message that Triton's own type reads, and errors mean one thing each."""

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tritonclient.grpc import service_pb2

from recency_inference import errors
from recency_inference.wire import RawTensor, decode_response, encode_request, error_of

arrays = hnp.arrays(
    st.sampled_from([np.int32, np.int64, np.float32]), hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=40)
)


@given(st.dictionaries(st.text(st.characters(codec="ascii"), min_size=1, max_size=8), arrays, max_size=5))
def test_a_request_reads_back_as_what_it_was_made_from(inputs: dict[str, np.ndarray]) -> None:
    encoded = encode_request("recommender", 7, {n: a.T if a.ndim == 2 else a for n, a in inputs.items()}, ["logits"])
    request = service_pb2.ModelInferRequest.FromString(encoded)
    assert (request.model_name, request.model_version, [o.name for o in request.outputs]) == (
        "recommender",
        "7",
        ["logits"],
    )
    assert len(request.inputs) == len(request.raw_input_contents) == len(inputs)
    for described, raw in zip(request.inputs, request.raw_input_contents, strict=True):
        sent = inputs[described.name]
        sent = sent.T if sent.ndim == 2 else sent
        assert raw == sent.tobytes()
        assert tuple(described.shape) == sent.shape


def test_a_tensor_serialised_once_is_sent_as_it_is() -> None:
    raw = RawTensor.of(np.arange(6, dtype=np.float32).reshape(2, 3))
    request = service_pb2.ModelInferRequest.FromString(encode_request("m", 1, {"x": raw}, []))
    assert request.raw_input_contents[0] == raw.data
    assert (request.inputs[0].datatype, list(request.inputs[0].shape)) == ("FP32", [2, 3])


def test_outputs_come_back_by_name_and_shape() -> None:
    response = service_pb2.ModelInferResponse()
    response.outputs.add(name="ids", datatype="INT32", shape=[2, 2])
    response.raw_output_contents.append(np.array([[1, 2], [3, -1]], np.int32).tobytes())
    assert decode_response(response)["ids"].tolist() == [[1, 2], [3, -1]]


class Call(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


@pytest.mark.parametrize(
    ("code", "details", "meaning"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses", errors.Unavailable),
        ("CANCELLED", "Channel closed!", errors.Unavailable),
        ("INTERNAL", "Stub process 'recommender_0_1' is not healthy.", errors.Unavailable),
        ("UNAVAILABLE", "Request for unknown model: 'm' version 9 is not at ready state", errors.NotLoaded),
        ("NOT_FOUND", "Request for unknown model: 'm' version 9 is not found", errors.NotLoaded),
        ("UNAVAILABLE", "[request id: 1] Exceeds maximum queue size", errors.Overloaded),
        ("RESOURCE_EXHAUSTED", "", errors.Overloaded),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", errors.TooLate),
        ("INVALID_ARGUMENT", "expected 13 inputs but got 12", errors.BadRequest),
        ("INTERNAL", "Non-zero status code returned while running Add node", errors.ModelFailed),
    ],
)
def test_a_failed_call_says_what_the_caller_does_next(code: str, details: str, meaning: type) -> None:
    error = error_of(Call(grpc.StatusCode[code], details), "127.0.0.1:8001")
    assert type(error) is meaning
    assert "127.0.0.1:8001" in str(error)
