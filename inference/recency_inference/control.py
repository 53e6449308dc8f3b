"""Control of a Triton: what is ready, load, unload. Used by the agent alone (and, to look, by anybody)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc  # type: ignore[import-untyped]

from recency_inference.errors import InferenceError, LoadFailed, NotAttachable, TooLate, Unavailable
from recency_inference.wire import CHANNEL_OPTIONS, error_of

# How long to wait for a Triton that is away, in one call.
_LOOK_SECONDS = 3.0


class TritonControl:
    """One connection for control. Blocking; safe to use from several threads."""

    def __init__(self, target: str, load_timeout_seconds: float = 300.0) -> None:
        """`load_timeout_seconds` bounds one load: a large text encoder takes seconds, a TensorRT build minutes."""
        self.target = target
        self._load_timeout_seconds = load_timeout_seconds
        self._channel = grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def server_ready(self, wait_seconds: float = 0.0) -> bool:
        """Whether the server takes calls (an empty one does too), waiting so long for it to come up.

        A wait, not a loop of tries: between blocking calls nothing drives a channel's reconnection but gRPC's own
        poll every 5 s.
        """
        request, timeout = service_pb2.ServerReadyRequest(), wait_seconds or _LOOK_SECONDS
        try:
            return bool(self._stub.ServerReady(request, timeout=timeout, wait_for_ready=wait_seconds > 0).ready)
        except grpc.RpcError:
            return False

    def loaded(self) -> dict[str, frozenset[int]]:
        """The versions of each model that are ready. Unavailable or TooLate where Triton is away."""
        try:
            index = self._stub.RepositoryIndex(
                service_pb2.RepositoryIndexRequest(), timeout=_LOOK_SECONDS, wait_for_ready=True
            )
        except grpc.RpcError as error:
            raise error_of(error, self.target) from error
        ready: dict[str, set[int]] = {}
        for model in index.models:
            if model.state == "READY" and model.version:
                ready.setdefault(model.name, set()).add(int(model.version))
        return {name: frozenset(versions) for name, versions in ready.items()}

    def reads(self, model: str) -> bool:
        """Whether the server sees a model of this name in its repository, loaded or not."""
        try:
            index = self._stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=_LOOK_SECONDS)
        except grpc.RpcError as error:
            raise error_of(error, self.target) from error
        return any(found.name == model for found in index.models)

    def load(self, model: str, versions: Iterable[int], config_path: Path) -> None:
        """Makes exactly these versions of a model loaded: what is new is loaded beside the others, what is not named is
        let go. LoadFailed has Triton's reason; the versions that were loaded before then go on serving."""
        request = service_pb2.RepositoryModelLoadRequest(model_name=model)
        request.parameters["config"].string_param = config_naming(config_path, versions)
        try:
            self._stub.RepositoryModelLoad(request, timeout=self._load_timeout_seconds)
        except grpc.RpcError as error:
            raise _load_error(error, self.target) from error

    def unload(self, model: str) -> None:
        """Lets every version of a model go."""
        request = service_pb2.RepositoryModelUnloadRequest(model_name=model)
        try:
            self._stub.RepositoryModelUnload(request, timeout=self._load_timeout_seconds)
        except grpc.RpcError as error:
            raise _load_error(error, self.target) from error

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def config_naming(path: Path, versions: Iterable[int]) -> str:
    """A `config.pbtxt` as the JSON that a load takes, with exactly these versions named."""
    config = text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    config.version_policy.Clear()
    config.version_policy.specific.versions.extend(sorted(versions))
    return json_format.MessageToJson(config, preserving_proto_field_name=True)


def _load_error(call: grpc.RpcError, target: str) -> InferenceError:
    """Triton answers a failed load with several codes; only its absence is not the model's fault."""
    error = error_of(call, target)
    if "explicit model load / unload is not allowed" in str(error):
        return NotAttachable(f"Triton at {target} takes no loads; start it with --model-control-mode=explicit")
    return error if isinstance(error, (Unavailable, TooLate)) else LoadFailed(str(error))
