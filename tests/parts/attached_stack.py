"""A Triton that the test starts and kills, the agent attached to it in this process, and a gateway over both that somebody
keeps asking: every answer is held to what the release that it names gives."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from served_stack import CommandProcess, DataFolder, eventually
from served_tiny import ITEM_IDS, slate, write_served

from recency import Recency
from recency.errors import RecencyError
from recency.v1 import event_pb2, item_pb2
from recency_inference.agent import Agent, AgentConfig
from recency_inference.attach import staging_of
from recency_inference.control import TritonControl
from recency_inference.local import LocalTriton, TritonConfig
from recency_inference.parts import Shelf
from recency_inference.repository import Repository, find_model_repository
from recency_inference.run import Outcome, play_round
from recency_inference.wanted import ready_lease
from recency_store.manifest import Manifest
from recency_store.records import NewItem, ReleaseRecord, ReleaseState
from recency_store.sqlite import SqliteStore

HISTORIES = {"one": ITEM_IDS[:1], "few": ITEM_IDS[3:7]}


def clock() -> int:
    return time.time_ns() // 1_000


@dataclass
class Watcher:
    """A client that never stops asking."""

    address: str
    releases: Counter[int] = field(default_factory=Counter)
    degraded: int = 0
    wrong: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def asking(self) -> Iterator[None]:
        thread = threading.Thread(target=self._ask, name="watcher", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(30)

    def _ask(self) -> None:
        with Recency(self.address, timeout_seconds=10.0) as client:
            while not self._stop.wait(0.01):
                for user, history in HISTORIES.items():
                    try:
                        found = client.recommend(user, page_size=10)
                    except RecencyError as error:
                        self.refused.append(str(error))
                        continue
                    release = found.freshness.release
                    if found.degraded:
                        self.degraded += 1
                    elif list(found.item_ids) != slate(release, history):
                        self.wrong.append(f"release {release} to {user}: {found.item_ids}")
                    else:
                        self.releases[release] += 1


@dataclass
class AttachedStack:
    """Everything of one stack. `agent` is whoever works now; a killed one is left as it lies."""

    folder: DataFolder
    store: SqliteStore
    triton: LocalTriton
    gateway: CommandProcess
    watcher: Watcher
    agent: Agent = field(init=False)
    serving: int = 1

    @classmethod
    @contextmanager
    def running(cls, path: Path, environment: Path | None) -> Iterator[AttachedStack]:
        """With release 1 served."""
        folder = DataFolder.make(path)
        triton = LocalTriton(TritonConfig(path, environment, grpc_port=0, http_port=0, metrics_port=0))
        with folder.opened() as store:
            _fill(store)
            _publish(store, path, 1, None)
            store.set_release_state(1, ReleaseState.ACTIVE)
            triton.start()
            addresses = ("--address", "127.0.0.1:0", "--http-address", "127.0.0.1:0", "--triton", triton.target)
            gateway = CommandProcess(folder, "gateway", "serve", *addresses)
            try:
                stack = cls(folder, store, triton, gateway, Watcher(gateway.address))
                stack.new_agent()
                stack.play_until(lambda: stack.ready(1), "release 1 is ready")
                with stack.watcher.asking():
                    stack.play_until(lambda: stack.watcher.releases[1], "release 1 answers")
                    yield stack
                stack.agent.close()
            finally:
                gateway.close()
                triton.close()

    @property
    def repository(self) -> Repository:
        folder = self.triton.config.repository
        return Repository(folder, staging_of(folder) / "parts", find_model_repository(None))

    def new_agent(self) -> None:
        """As a process that starts after the last one was killed: it knows nothing, and has the same name."""
        repository = self.repository
        repository.tidy()
        config = AgentConfig("the agent", retry_seconds=1.0)
        self.agent = Agent(
            self.triton.target, self.store, Shelf(self.folder.path / "releases"), repository, clock, config
        )

    def publish(self, release: int) -> Manifest:
        """A whole release that nobody has seen, as a candidate."""
        return _publish(self.store, self.folder.path, release, 1)

    def register(self, manifest: Manifest) -> None:
        _register(self.store, self.folder.path, manifest)

    def activate(self, release: int) -> None:
        """Makes it serve, and waits until it does."""
        self.store.set_release_state(release, ReleaseState.ACTIVE)
        self.serving = release
        self.still_answers()

    def still_answers(self) -> None:
        """Waits for answers from the release that should serve."""
        before = self.watcher.releases[self.serving]
        self.play_until(lambda: self.watcher.releases[self.serving] > before + 3, f"release {self.serving} answers")

    def ready(self, release: int) -> bool:
        return bool(self.store.list_leases(ready_lease(release, self.triton.target), clock()))

    def loaded(self, model: str) -> set[int]:
        with TritonControl(self.triton.target) as control:
            return set(control.loaded().get(model, ()))

    def on_disk(self, model: str) -> set[int]:
        return set(self.repository.on_disk().get(model, ()))

    def round(self) -> Outcome:
        return play_round(self.agent, lambda: None)

    def play_until(self, happened: Callable[[], object], what: str) -> None:
        """The agent's rounds until something has happened; whoever owns the Triton starts it again where it is down."""

        def round_and_look() -> bool:
            if not self.triton.running:
                self.triton.start()
            if happened():
                return True
            self.round()
            return bool(happened())

        eventually(round_and_look, lambda: f"{what}; refused: {self.watcher.refused[-1:]}")


def _fill(store: SqliteStore) -> None:
    items = [NewItem(item_pb2.Item(item_id=item_id, title=f"Title of {item_id}")) for item_id in ITEM_IDS]
    store.upsert_items(items, clock())
    events = []
    for user, history in HISTORIES.items():
        for number, item_id in enumerate(history):
            event = event_pb2.Event(
                event_id=f"{user}/{number}", user_id=user, item_id=item_id, type=event_pb2.EVENT_TYPE_CLICK
            )
            event.event_time.FromMicroseconds(clock() - 60_000_000 + number)
            events.append(event)
    store.append(events)


def _publish(store: SqliteStore, data: Path, release: int, text_encoder: int | None) -> Manifest:
    with suppress(FileExistsError):
        manifest = write_served(data / "releases" / str(release), release, text_encoder, parent=release - 1)
    _register(store, data, manifest)
    return manifest


def _register(store: SqliteStore, data: Path, manifest: Manifest) -> None:
    store.put_release(
        ReleaseRecord(
            manifest.release,
            ReleaseState.CANDIDATE,
            "",
            str(data / "releases" / str(manifest.release)),
            manifest.parent,
            clock(),
            manifest_json=manifest.to_json(),
        )
    )
