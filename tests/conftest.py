"""The served stack that whole-loop and parity tests share: made once a session, from a real slice of MovieLens."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from movielens_slice import movielens_slice
from served_stack import DataFolder, ServedStack, wait_until_undegraded

from recency import Recency
from recency_cli.exporting import movielens_folder
from recency_export.importer import write_events, write_items
from recency_export.progress import Silent
from recency_inference.environment import find_environment
from recency_inference.errors import LocalTritonError

FILMS, USERS = 200, 60
# The first test of a session also trains the release that it needs.
SECONDS_WITH_TRAINING = 300


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-fault", action="store_true", help="every fault of the fault injection (make chaos)")


@pytest.fixture(scope="session")
def every_fault(request: pytest.FixtureRequest) -> bool:
    """Whether a fault-injection test takes every fault, or the seeded few that the suite has time for."""
    return bool(request.config.getoption("--every-fault"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "films" in getattr(item, "fixturenames", ()) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SECONDS_WITH_TRAINING))


@pytest.fixture(scope="session")
def local_triton() -> None:
    """Skips where there is no Triton to run."""
    configured = os.environ.get("RECENCY_TRITON_ENVIRONMENT")
    try:
        find_environment(Path(configured) if configured else None)
    except LocalTritonError as error:
        pytest.skip(f"no Triton here: {error}")


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory, local_triton: None) -> DataFolder:
    """A data folder with 200 films, what 60 people made of them, and the release that was trained on it."""
    source = movielens_folder()
    if not source.is_dir():
        pytest.skip(f"no MovieLens in {source}: `make setup` fetches it")
    folder = DataFolder.make(tmp_path_factory.mktemp("films"))
    now = time.time_ns() // 1_000
    items, events = movielens_slice(source.resolve(), FILMS, USERS, now - 3_600_000_000)
    with folder.opened() as store:
        write_items(store, items, len(items), now, Silent())
        write_events(store, events, len(events), Silent())
    assert folder.run("export", "bootstrap")["state"] == "ACTIVE"
    # An exporter empties its workspace when somebody was erased.
    for stage in ("snapshot", "dataset"):
        shutil.copytree(folder.path / "workspace" / stage, folder.path / "trained-on" / stage, copy_function=os.link)
    return folder


@pytest.fixture(scope="session")
def stack(films: DataFolder) -> Iterator[ServedStack]:
    """The films, served by a Triton and two gateways. Tests leave its catalogue and its active release as they were, and
    use users of their own."""
    with ServedStack.running(films) as running:
        for gateway in (running.here, running.there):
            with Recency(gateway.address) as client:
                wait_until_undegraded(client)
        yield running
