"""What an agent tells its operator: Prometheus metrics, and over HTTP /metrics, /healthz and /readyz."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Summary, generate_latest


class AgentMetrics:
    """One agent's counters, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rounds = Counter("recency_agent_rounds", "Rounds, by how they ended", ["outcome"], registry=self.registry)
        self.refusals = Counter(
            "recency_agent_refusals",
            "Releases that could not be had: corrupt, not loaded or run by Triton, or out of reach (network, full disk)",
            ["kind"],
            registry=self.registry,
        )
        self.loads = Summary("recency_agent_load_seconds", "Loads that Triton took", ["model"], registry=self.registry)
        self.ready = Gauge(
            "recency_agent_release_ready", "1 for each release that is ready", ["release"], registry=self.registry
        )
        self.restarts = Counter(
            "recency_triton_restarts", "Starts of the local Triton after the first", ["reason"], registry=self.registry
        )
        self.hung = Counter("recency_agent_probes_failed", "Probes that a model did not answer", registry=self.registry)
        # Whether everything wanted that can be ready is; None before the first round.
        self.complete: bool | None = None


@contextmanager
def agent_side(metrics: AgentMetrics, host: str, port: int) -> Iterator[int]:
    """Serves the metrics while the context lasts; gives the port (0 asks for a free one)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(metrics.registry), CONTENT_TYPE_LATEST)
            elif self.path == "/healthz":
                self._answer(200, b"ok\n")
            elif self.path == "/readyz":
                ready = metrics.complete is True
                self._answer(200 if ready else 503, b"ready\n" if ready else b"not everything wanted is ready\n")
            else:
                self._answer(404, b"/metrics, /healthz or /readyz\n")

        def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Probes are not worth a line."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="agent-http", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
