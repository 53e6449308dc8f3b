"""One attached stack that all faults of the agent and its Triton happen to, one after the other: it must outlive them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from attached_stack import AttachedStack


@pytest.fixture(scope="session")
def attached(tmp_path_factory: pytest.TempPathFactory, local_triton: None) -> Iterator[AttachedStack]:
    configured = os.environ.get("RECENCY_TRITON_ENVIRONMENT")
    with AttachedStack.running(tmp_path_factory.mktemp("attached"), Path(configured) if configured else None) as stack:
        yield stack
