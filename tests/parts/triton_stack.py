"""A local Triton with its agent over tiny releases, run in a thread of the test's process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tiny_release import write_release

from recency_inference.local import TritonConfig
from recency_inference.run import Running, run_triton
from recency_inference.wanted import ready_lease
from recency_store.manifest import Manifest
from recency_store.protocol import Store
from recency_store.records import ReleaseRecord, ReleaseState


def clock() -> int:
    return time.time_ns() // 1_000


@dataclass
class TritonStack:
    """A Triton with its agent, in a thread of this process. `target` is its gRPC address once it is up."""

    data: Path
    store: Store
    releases: Path
    environment: Path | None
    hung_seconds: float = 30.0
    running: Running = field(init=False)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def target(self) -> str:
        return self.running.target

    @property
    def config(self) -> TritonConfig:
        return TritonConfig(
            self.data, self.environment, grpc_port=0, http_port=0, metrics_port=0, hung_seconds=self.hung_seconds
        )

    def start(self) -> None:
        up, failed = threading.Event(), []

        def ready(running: Running) -> None:
            self.running = running
            up.set()

        def serve() -> None:
            try:
                run_triton(self.config, self.store, self.releases, self._stop, ready, clock)
            except BaseException as error:
                failed.append(error)
                up.set()

        self._stop.clear()
        self._thread = threading.Thread(target=serve, name="triton", daemon=True)
        self._thread.start()
        assert up.wait(90), "Triton was not up in 90 s"
        if failed:
            raise failed[0]

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(60)

    def publish(
        self, release: int, state: ReleaseState = ReleaseState.CANDIDATE, text_encoder: int | None = None
    ) -> Manifest:
        """Writes a tiny release and registers it."""
        manifest = write_release(self.releases / str(release), release, text_encoder)
        self.register(manifest, state)
        return manifest

    def register(self, manifest: Manifest, state: ReleaseState) -> None:
        record = ReleaseRecord(
            manifest.release,
            ReleaseState.CANDIDATE,
            "",
            str(self.releases / str(manifest.release)),
            manifest.parent,
            clock(),
            manifest_json=manifest.to_json(),
        )
        self.store.put_release(record)
        if state is not ReleaseState.CANDIDATE:
            self.store.set_release_state(manifest.release, state)

    def is_ready(self, release: int) -> bool:
        return bool(self.store.list_leases(ready_lease(release, self.target), clock()))

    def wait_ready(self, release: int) -> None:
        eventually(lambda: self.is_ready(release), f"release {release} is ready")


def eventually(happened: Callable[[], object], what: str, seconds: float = 45.0) -> None:
    limit = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < limit, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)
