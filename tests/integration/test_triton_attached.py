"""The agent beside a Triton that somebody else starts: on a shared disk, and with artifacts by URL."""

import functools
import http.server
import os
import shutil
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from served_stack import CommandProcess, DataFolder, eventually
from tiny_release import write_release

from recency_features import spec
from recency_inference.agent import Agent, AgentConfig
from recency_inference.control import TritonControl
from recency_inference.local import LocalTriton, TritonConfig
from recency_inference.parts import Shelf
from recency_inference.repository import Repository, find_model_repository
from recency_inference.run import Outcome, play_round
from recency_inference.wanted import ready_lease
from recency_store.memory import MemoryStore
from recency_store.protocol import Store
from recency_store.records import ReleaseRecord, ReleaseState


def clock() -> int:
    return time.time_ns() // 1_000


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def owners(tmp_path: Path, triton_environment: Path | None) -> Iterator[LocalTriton]:
    """A server without an agent, started and stopped by the test."""
    server = LocalTriton(TritonConfig(tmp_path / "owner", triton_environment, grpc_port=0, http_port=0, metrics_port=0))
    yield server
    server.close()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The releases of the test, over HTTP."""
    (tmp_path / "releases").mkdir()
    handler = functools.partial(QuietHandler, directory=str(tmp_path / "releases"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def publish(store: Store, folder: Path, release: int, url: str, state: ReleaseState = ReleaseState.ACTIVE) -> None:
    manifest = write_release(folder / str(release), release, None if release == 1 else 1)
    record = ReleaseRecord(release, ReleaseState.CANDIDATE, "", url, 0, clock(), manifest_json=manifest.to_json())
    store.put_release(record)
    store.set_release_state(release, state)


def loaded(server: LocalTriton) -> set[int]:
    with TritonControl(server.target) as control:
        return set(control.loaded().get(spec.RECOMMENDER, ()))


def stubs(server: LocalTriton) -> set[int]:
    return {
        int(child) for path in Path(f"/proc/{server.pid}/task").glob("*/children") for child in path.read_text().split()
    }


@pytest.mark.parametrize("shared_disk", [True, False], ids=["shared disk", "by URL"])
def test_the_agent_alone_keeps_somebody_elses_triton_as_the_releases_ask(
    owners: LocalTriton, web: str, tmp_path: Path, shared_disk: bool
) -> None:
    folder = DataFolder.make(tmp_path / "agent")

    def url(release: int) -> str:
        return str(tmp_path / "releases" / str(release)) if shared_disk else f"{web}/{release}"

    def agent(name: str) -> CommandProcess:
        repository = str(owners.config.repository)
        return CommandProcess(folder, name, "triton", "--attach", owners.target, "--repository", repository)

    owners.start()
    with folder.opened() as store:
        publish(store, tmp_path / "releases", 1, url(1))
        first = agent("first")
        try:
            assert loaded(owners) == {1}
            assert (folder.path / "fetched").exists() == (not shared_disk)
            ready = urllib.request.urlopen(f"http://127.0.0.1:{first.facts['agent_port']}/readyz")
            assert ready.status == 200

            # Killed, it leaves what is loaded; started again it reloads nothing, whatever has become of the place.
            before = stubs(owners)
            first.kill()
            if not shared_disk:
                (tmp_path / "releases" / "1").rename(tmp_path / "releases" / "away")
            second = agent("second")
            try:
                assert stubs(owners) == before
                publish(store, tmp_path / "releases", 2, url(2))
                eventually(
                    lambda: store.list_leases(ready_lease(2, owners.target), clock()), lambda: second.log[-2_000:]
                )
                assert loaded(owners) == {1, 2}
                assert before < stubs(owners)

                # Its owner starts it again, empty: the agent brings everything back.
                owners.kill()
                shutil.rmtree(owners.config.repository / spec.RECOMMENDER)
                owners.start()
                eventually(lambda: loaded(owners) == {1, 2}, lambda: second.log[-2_000:])
                second.terminate()
                assert second.wait() == 0
                assert loaded(owners) == {1, 2}
                assert store.list_leases(ready_lease(2, owners.target), clock()) == []
            finally:
                second.close()
        finally:
            first.close()


def test_a_triton_that_reads_another_repository_costs_no_release_its_state(
    owners: LocalTriton, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    owners.start()
    store = MemoryStore()
    publish(store, tmp_path, 1, str(tmp_path / "1"), ReleaseState.CANARY)
    elsewhere = Repository(tmp_path / "elsewhere", tmp_path / "staging", find_model_repository(None))
    agent = Agent(owners.target, store, Shelf(tmp_path), elsewhere, clock, AgentConfig("lost"))
    try:
        assert play_round(agent, lambda: None) is Outcome.FAILED
        assert "name the repository that it reads" in capsys.readouterr().out
        assert store.get_release(1).state is ReleaseState.CANARY
    finally:
        agent.close()


def test_a_model_that_does_not_answer_is_found_by_the_probe(owners: LocalTriton, tmp_path: Path) -> None:
    owners.start()
    store = MemoryStore()
    publish(store, tmp_path, 1, str(tmp_path / "1"))
    repository = Repository(owners.config.repository, tmp_path / "owner" / "staging", find_model_repository(None))
    config = AgentConfig("probing", probe_timeout_seconds=1.0)
    agent = Agent(owners.target, store, Shelf(tmp_path), repository, clock, config)
    try:
        assert agent.step()
        assert agent.probe() == ""
        for stub in stubs(owners):
            os.kill(stub, signal.SIGSTOP)
        assert "does not answer" in agent.probe()
        for stub in stubs(owners):
            os.kill(stub, signal.SIGCONT)
        assert agent.probe() == ""
    finally:
        agent.close()


def test_what_was_let_go_is_not_probed(owners: LocalTriton, tmp_path: Path) -> None:
    owners.start()
    store = MemoryStore()
    for release in (1, 2):
        publish(store, tmp_path, release, str(tmp_path / str(release)))
    repository = Repository(owners.config.repository, tmp_path / "owner" / "staging", find_model_repository(None))
    agent = Agent(owners.target, store, Shelf(tmp_path), repository, clock, AgentConfig("probing"))
    try:
        assert agent.step()
        store.set_release_state(1, ReleaseState.REJECTED, "for the test")
        assert agent.step()
        assert loaded(owners) == {2}
        assert agent.probe() == ""
    finally:
        agent.close()
