"""`recency triton --attach`: the agent alone, beside a Triton that someone else starts, watches and stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from recency_inference.local import TritonConfig, lock_folder
from recency_inference.repository import Repository, find_model_repository
from recency_inference.run import POLL_SECONDS, OnReady, Running, once, play_round, running_agent
from recency_store.protocol import Store

_log = structlog.get_logger("recency.triton")


def attach_triton(
    target: str,
    config: TritonConfig,
    repository: Path,
    store: Store,
    releases: Path,
    stop: threading.Event,
    on_ready: OnReady,
    clock: Callable[[], int],
) -> None:
    """Keeps loaded at the Triton at `target`, which reads the folder `repository`, what the releases ask for, until `stop`
    is set; what is loaded then stays. Raises FolderTaken where another agent works on the folder.

    What that Triton has loaded already is left as it is where it is wanted: an agent that was killed and starts again
    reloads nothing.
    """
    repository.mkdir(parents=True, exist_ok=True)
    staging = staging_of(repository)
    staging.mkdir(parents=True, exist_ok=True)
    place = Repository(repository, staging / "parts", find_model_repository(config.model_repository))
    with lock_folder(staging), running_agent(target, config, place, store, releases, clock) as (agent, agent_port):
        place.tidy()
        tell = once(on_ready, Running(target, agent_port=agent_port))
        probed = time.monotonic()
        while not stop.is_set():
            play_round(agent, tell)
            if time.monotonic() - probed > config.probe_seconds:
                if agent.probe() and (reason := agent.probe()):
                    # Who started it must start it again; until then it is not called ready.
                    _log.error("triton_hangs", target=target, reason=reason)
                    agent.lost()
                probed = time.monotonic()
            stop.wait(POLL_SECONDS)


def staging_of(repository: Path) -> Path:
    """Where versions are put together: beside the repository, or in it where that is a file system of its own (renames
    work on one file system only, and a folder without a version is no model)."""
    beside = repository.with_name(f".{repository.name}.recency")
    return beside if repository.parent.stat().st_dev == repository.stat().st_dev else repository / ".recency"
