"""The inference call: on asyncio for the gateway, blocking for the agent's warming and for benches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
import numpy.typing as npt
from tritonclient.grpc import service_pb2  # type: ignore[import-untyped]

from recency_inference.errors import TooLate
from recency_inference.wire import (
    CHANNEL_OPTIONS,
    SERVICE,
    Input,
    RawTensor,
    decode_response,
    encode_request,
    error_of,
)

__all__ = ["BlockingInference", "Inference", "Input", "RawTensor"]

Outputs = dict[str, npt.NDArray[Any]]


class Inference:
    """Asks models, on asyncio. Made inside a running loop; one connection, any number of calls at once."""

    def __init__(self, target: str) -> None:
        """`target` is Triton's gRPC address, host:port. Nothing is connected before the first call."""
        self.target = target
        self._channel = grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
        self._infer = self._channel.unary_unary(f"{SERVICE}ModelInfer", None, service_pb2.ModelInferResponse.FromString)
        self._ready = self._channel.unary_unary(
            f"{SERVICE}ModelReady",
            request_serializer=service_pb2.ModelReadyRequest.SerializeToString,
            response_deserializer=service_pb2.ModelReadyResponse.FromString,
        )

    async def infer(
        self, model: str, version: int, inputs: Mapping[str, Input], outputs: Sequence[str], timeout_seconds: float
    ) -> Outputs:
        """Runs one version of a model; the outputs come back by name, as read-only views. Raises of errors.py:
        Unavailable, Overloaded, TooLate, NotLoaded, BadRequest, ModelFailed."""
        if timeout_seconds <= 0:
            # gRPC sends such a call, and now and then it is answered first.
            raise TooLate(f"no time was left to ask {model} at {self.target}; ask with a longer deadline")
        try:
            return decode_response(
                await self._infer(encode_request(model, version, inputs, outputs), timeout=timeout_seconds)
            )
        except grpc.aio.AioRpcError as error:
            raise error_of(error, self.target) from error

    async def ready(self, model: str, version: int, timeout_seconds: float = 1.0) -> bool:
        """Whether this version is loaded; False also where Triton cannot be asked."""
        request = service_pb2.ModelReadyRequest(name=model, version=str(version))
        try:
            return bool((await self._ready(request, timeout=timeout_seconds)).ready)
        except grpc.aio.AioRpcError:
            return False

    async def close(self) -> None:
        """Closes the connection; calls under way fail as Unavailable."""
        await self._channel.close(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class BlockingInference:
    """The same call for code that has no event loop. Safe to use from several threads."""

    def __init__(self, target: str) -> None:
        """`target` is Triton's gRPC address, host:port. Nothing is connected before the first call."""
        self.target = target
        self._channel = grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
        self._infer = self._channel.unary_unary(f"{SERVICE}ModelInfer", None, service_pb2.ModelInferResponse.FromString)

    def infer(
        self, model: str, version: int, inputs: Mapping[str, Input], outputs: Sequence[str], timeout_seconds: float
    ) -> Outputs:
        """As `Inference.infer`."""
        try:
            return decode_response(
                self._infer(encode_request(model, version, inputs, outputs), timeout=timeout_seconds)
            )
        except grpc.RpcError as error:
            raise error_of(error, self.target) from error

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
