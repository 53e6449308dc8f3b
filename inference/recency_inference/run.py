"""`recency triton`: a local Triton with its agent, or (attached) the agent of a Triton that runs elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname

import structlog

from recency_inference.agent import Agent, AgentConfig
from recency_inference.errors import NotOwner, NotReady, TooLate, Unavailable
from recency_inference.local import LocalTriton, TritonConfig
from recency_inference.parts import Shelf
from recency_inference.repository import Repository, find_model_repository
from recency_store.errors import StoreUnavailable
from recency_store.protocol import Store

_log = structlog.get_logger("recency.triton")
_POLL_SECONDS = 0.5
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0
# A server that ran this long before it died is started again at once.
_STEADY_SECONDS = 30.0
_PASSING = (Unavailable, TooLate, NotOwner, StoreUnavailable)


@dataclass(frozen=True, slots=True)
class Running:
    """A Triton that is up with everything loaded that was wanted. The ports are 0 for an attached one."""

    target: str
    http_port: int = 0
    metrics_port: int = 0
    pid: int = 0


OnReady = Callable[[Running], None]


def run_triton(
    config: TritonConfig,
    store: Store,
    releases: Path,
    stop: threading.Event,
    on_ready: OnReady,
    clock: Callable[[], int],
) -> None:
    """Runs a local Triton and its agent until `stop` is set, then ends both. Blocks; call it from a thread that lives as
    long (the server ends with it).

    Raises what is wrong with the machine before anything runs (LocalTritonError). After that it goes on by itself: a
    server that dies is started again, and `on_ready` is called (once) when the first round is complete.
    """
    repository = Repository(
        config.repository, config.folder / "staging", find_model_repository(config.model_repository)
    )
    server = LocalTriton(config)
    try:
        # The folder's lock is held, so an earlier holder of the same name is dead.
        holder = f"{gethostname()}:{config.folder.resolve()}"
        agent = Agent(server.target, store, Shelf(releases), repository, clock, AgentConfig(holder))
        try:
            _serve(server, agent, stop, on_ready)
        finally:
            agent.close()
    finally:
        server.close()


def attach_triton(
    target: str,
    repository: Repository,
    store: Store,
    releases: Path,
    stop: threading.Event,
    on_ready: OnReady,
    clock: Callable[[], int],
) -> None:
    """The agent alone, for a Triton at `target` that reads `repository.folder`, until `stop` is set."""
    repository.tidy()
    holder = f"{gethostname()}:{repository.folder.resolve()}"
    agent = Agent(target, store, Shelf(releases), repository, clock, AgentConfig(holder))
    try:
        tell = _once(on_ready, Running(target))
        while not stop.is_set():
            _round(agent, tell)
            stop.wait(_POLL_SECONDS)
    finally:
        agent.close()


def _serve(server: LocalTriton, agent: Agent, stop: threading.Event, on_ready: OnReady) -> None:
    agent.prepare()
    server.start()
    tell = _once(on_ready, Running(server.target, server.http_port, server.metrics_port, server.pid or 0))
    pause = _FIRST_PAUSE_SECONDS
    while not stop.is_set():
        started = time.monotonic()
        reason = _rounds(server, agent, stop, tell)
        if stop.is_set():
            return
        pause = _FIRST_PAUSE_SECONDS if time.monotonic() - started > _STEADY_SECONDS else pause
        _log.error("triton_down", reason=reason, restart_in_seconds=pause, log=str(server.config.log))
        agent.lost()
        server.kill()
        stop.wait(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        try:
            agent.prepare()
            server.start()
        except (NotReady, *_PASSING) as error:
            _log.error("triton_not_started", reason=str(error))


def _rounds(server: LocalTriton, agent: Agent, stop: threading.Event, tell: Callable[[], None]) -> str:
    """The agent's rounds for as long as the server is whole; answers what ended it."""
    dead: frozenset[int] = frozenset()
    answered = time.monotonic()
    while not stop.is_set():
        if not server.running:
            return "the server ended"
        # Twice, because a stub that is being unloaded is dead for a moment too.
        if dead & (dead := server.dead_stubs()):
            return "a stub died"
        if _round(agent, tell):
            answered = time.monotonic()
        elif time.monotonic() - answered > server.config.hung_seconds and not server.answers():
            return f"it has not answered for {server.config.hung_seconds:g} s"
        stop.wait(_POLL_SECONDS)
    return "asked to stop"


def _round(agent: Agent, tell: Callable[[], None]) -> bool:
    """One round; False where Triton did not answer in it. A store that is away says nothing about Triton."""
    try:
        if agent.step():
            tell()
    except _PASSING as error:
        # Whatever it is passes or ends the server: the next round tries again.
        _log.warning("round_failed", reason=str(error))
        if isinstance(error, (Unavailable, TooLate)):
            agent.lost()
            return False
    return True


def _once(on_ready: OnReady, running: Running) -> Callable[[], None]:
    told = threading.Event()

    def tell() -> None:
        if not told.is_set():
            told.set()
            on_ready(running)

    return tell
