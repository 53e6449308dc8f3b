"""One real Triton for the tests that need one: `triton` runs the wheel's server and its agent over tiny models."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from triton_stack import TritonStack

from recency_inference.environment import find_environment
from recency_inference.errors import LocalTritonError
from recency_store.memory import MemoryStore
from recency_store.records import ReleaseState

ENVIRONMENT = "RECENCY_TRITON_ENVIRONMENT"


@pytest.fixture(scope="session")
def triton_environment() -> Path | None:
    """The environment with Triton's wheel: RECENCY_TRITON_ENVIRONMENT, or the one found beside this one."""
    configured = Path(os.environ[ENVIRONMENT]) if os.environ.get(ENVIRONMENT) else None
    try:
        find_environment(configured)
    except LocalTritonError as error:
        pytest.skip(f"no Triton here: {error}")
    return configured


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory, triton_environment: Path | None) -> Iterator[TritonStack]:
    """One running Triton for the whole session, with the tiny release 1 active. A test that publishes more takes numbers
    of its own and leaves 1 active."""
    data = tmp_path_factory.mktemp("triton")
    stack = TritonStack(data, MemoryStore(), data / "releases", triton_environment)
    stack.publish(1, ReleaseState.ACTIVE)
    stack.start()
    stack.wait_ready(1)
    yield stack
    stack.stop()


@pytest.fixture
def own_triton(tmp_path: Path, triton_environment: Path | None) -> Iterator[TritonStack]:
    """A stack for one test that starts, kills and stops it itself."""
    stack = TritonStack(tmp_path, MemoryStore(), tmp_path / "releases", triton_environment)
    yield stack
    stack.stop()
