"""Triton's messages: a request's bytes from its tensors, tensors from a response, and what an error means.

tritonclient's own client describes and copies every tensor anew for each call (docs/decisions/0030). Here the request is
written in protobuf's wire format around the tensors' bytes: a large overlay, serialised once, is copied once a call, and
the part that describes the tensors is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeAlias

import grpc
import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2  # type: ignore[import-untyped]

from recency_inference.errors import (
    BadRequest,
    InferenceError,
    ModelFailed,
    NotLoaded,
    Overloaded,
    TooLate,
    Unavailable,
)

SERVICE = "/inference.GRPCInferenceService/"
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    # The overlay of a large catalogue is past gRPC's 4 MB.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A Triton that was restarted is found within half a second; the default waits up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 500),
    # A machine that vanished without a word is noticed; Triton's own limit is one ping in five minutes without calls.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # Each channel has its own connection and backoff, and a proxy set for the internet is not for Triton.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)

_DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "INT32": np.dtype("int32"),
        "INT64": np.dtype("int64"),
        "FP32": np.dtype("float32"),
        "FP16": np.dtype("float16"),
        "BOOL": np.dtype("bool"),
        "UINT8": np.dtype("uint8"),
    }
)
_DATATYPES: Mapping[np.dtype[Any], str] = MappingProxyType({dtype: name for name, dtype in _DTYPES.items()})


@dataclass(frozen=True, slots=True)
class RawTensor:
    """A tensor as its bytes (little endian, row by row): what stays the same from call to call is serialised once."""

    datatype: str
    shape: tuple[int, ...]
    data: bytes

    @staticmethod
    def of(array: npt.NDArray[Any]) -> RawTensor:
        """The array's bytes, copied."""
        return RawTensor(_DATATYPES[array.dtype], array.shape, array.tobytes())


Input: TypeAlias = "npt.NDArray[Any] | RawTensor"


def encode_request(model: str, version: int, inputs: Mapping[str, Input], outputs: Sequence[str]) -> bytes:
    """A serialised ModelInferRequest with the tensors' bytes at its end (field 7, in the order of the inputs)."""
    tensors = {name: value if isinstance(value, RawTensor) else RawTensor.of(value) for name, value in inputs.items()}
    described = tuple((name, tensor.datatype, tensor.shape) for name, tensor in tensors.items())
    parts = [_head(model, version, described, tuple(outputs))]
    for tensor in tensors.values():
        parts += (b"\x3a", _varint(len(tensor.data)), tensor.data)
    return b"".join(parts)


@lru_cache(maxsize=512)
def _head(
    model: str, version: int, inputs: tuple[tuple[str, str, tuple[int, ...]], ...], outputs: tuple[str, ...]
) -> bytes:
    """All but the tensors' bytes. Kept, because batches come in few shapes and describing 13 tensors costs more than
    copying them."""
    request = service_pb2.ModelInferRequest(model_name=model, model_version=str(version))
    for name, datatype, shape in inputs:
        request.inputs.add(name=name, datatype=datatype, shape=shape)
    for name in outputs:
        request.outputs.add(name=name)
    head: bytes = request.SerializeToString()
    return head


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def decode_response(response: Any) -> dict[str, npt.NDArray[Any]]:
    """The output tensors, as read-only views of the response's bytes."""
    return {
        tensor.name: np.frombuffer(data, dtype=_DTYPES[tensor.datatype]).reshape(tuple(tensor.shape))
        for tensor, data in zip(response.outputs, response.raw_output_contents, strict=True)
    }


def error_of(call: grpc.RpcError, target: str) -> InferenceError:
    """What a failed call means for the caller."""
    code, details = call.code(), call.details() or ""
    text = f"Triton at {target}: {details or code.name}"
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return TooLate(text)
    # Triton says UNAVAILABLE of a version that is not loaded and of a full queue as well.
    if code == grpc.StatusCode.NOT_FOUND or "is not at ready state" in details or "unknown model" in details:
        return NotLoaded(text)
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED or "maximum queue size" in details:
        return Overloaded(text)
    # "Stub process … is not healthy": it was killed, and the local runner will start Triton again.
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED) or "is not healthy" in details:
        return Unavailable(text)
    if code == grpc.StatusCode.INVALID_ARGUMENT:
        return BadRequest(text)
    return ModelFailed(text)
