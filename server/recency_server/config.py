"""How a gateway runs. The command line reads files and the environment and builds this; nothing here does."""

from __future__ import annotations

from dataclasses import dataclass

from recency_server.logs import LEVELS
from recency_server.parts import RecommendConfig


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Addresses are `host:port`; port 0 takes a free one, and `serve` says which.

    recommend            the request path; its gateway_id must be this process's own
    grpc_address         where the API listens
    http_address         where /metrics, /healthz and /readyz listen
    triton_address       Triton's gRPC port
    recommend_calls      Recommends at once; one more is refused with RESOURCE_EXHAUSTED
    write_calls          Feedbacks and catalogue writes at once
    read_calls           other calls at once
    stream_calls         bulk loads at once
    rpcs                 calls of every kind at once, refused before they are read
    recommend_seconds    a Recommend's deadline where the caller gives none
    bulk_seconds         the same for everything else, and for each chunk of a stream
    request_bytes        the largest message, refused unread past it; several times the largest text that a request may
                         hold, so that an oversized text still gets an answer that names its field
    drain_notice_seconds between saying NOT_SERVING and taking no more calls: load balancers need it, one machine does not
    drain_seconds        how long running calls may take to end once the gateway stops
    log_one_in           of requests that went well, one in so many gets a log line
    slow_seconds         a request that takes longer always gets one
    log_level            debug, info, warning or error; whoever owns the process gives it to `configure_logging`
    """

    recommend: RecommendConfig
    grpc_address: str = "127.0.0.1:50051"
    http_address: str = "127.0.0.1:8080"
    triton_address: str = "127.0.0.1:8001"
    recommend_calls: int = 1_024
    write_calls: int = 1_024
    read_calls: int = 128
    stream_calls: int = 64
    rpcs: int = 4_096
    recommend_seconds: float = 1.0
    bulk_seconds: float = 30.0
    request_bytes: int = 32 * 1024 * 1024
    drain_notice_seconds: float = 0.0
    drain_seconds: float = 10.0
    log_one_in: int = 1_000
    slow_seconds: float = 0.25
    log_level: str = "info"

    def __post_init__(self) -> None:
        if self.log_level not in LEVELS:
            raise ValueError(f"log_level is {self.log_level!r}; it must be one of {', '.join(LEVELS)}")
        for name in (
            "recommend_calls",
            "write_calls",
            "read_calls",
            "stream_calls",
            "rpcs",
            "request_bytes",
            "log_one_in",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("recommend_seconds", "bulk_seconds", "drain_notice_seconds", "drain_seconds", "slow_seconds"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name)}; it must be a number of seconds, 0 or more")


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a gateway listens."""

    grpc_port: int
    http_port: int
