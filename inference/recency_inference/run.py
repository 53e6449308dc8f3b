"""`recency triton`: a local Triton with its agent."""

from __future__ import annotations

import contextlib
import enum
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname

import structlog

from recency_inference.agent import Agent, AgentConfig
from recency_inference.agent_metrics import AgentMetrics, agent_side
from recency_inference.artifacts import ReleaseCache
from recency_inference.errors import Hung, InferenceError, TooLate, Unavailable
from recency_inference.local import LocalTriton, TritonConfig
from recency_inference.parts import Shelf
from recency_inference.repository import Repository, find_model_repository
from recency_store.errors import StoreError, StoreUnavailable
from recency_store.protocol import Store

_log = structlog.get_logger("recency.triton")
POLL_SECONDS = 0.5
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0
# A server that ran this long before it died is started again at once.
_STEADY_SECONDS = 30.0
_PASSING = (InferenceError, StoreUnavailable, OSError)


@dataclass(frozen=True, slots=True)
class Running:
    """A Triton that is up with everything loaded that was wanted, and its agent's own port. Triton's other ports and its
    process are 0 for an attached one."""

    target: str
    http_port: int = 0
    metrics_port: int = 0
    pid: int = 0
    agent_port: int = 0


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
        with running_agent(server.target, config, repository, store, releases, clock) as (agent, agent_port):
            _serve(server, agent, agent_port, stop, on_ready)
    finally:
        server.close()


@contextmanager
def running_agent(
    target: str,
    config: TritonConfig,
    repository: Repository,
    store: Store,
    releases: Path,
    clock: Callable[[], int],
) -> Iterator[tuple[Agent, int]]:
    """An agent with its HTTP side, and the port of that."""
    metrics = AgentMetrics()
    holder = f"{gethostname()}:{repository.folder.resolve()}"
    how = AgentConfig(holder, probe_timeout_seconds=config.probe_timeout_seconds)
    with agent_side(metrics, config.host, config.agent_port) as port:
        shelf = Shelf(releases, ReleaseCache(config.data / "fetched"))
        agent = Agent(target, store, shelf, repository, clock, how, metrics)
        try:
            yield agent, port
        finally:
            agent.close()


def _serve(server: LocalTriton, agent: Agent, agent_port: int, stop: threading.Event, on_ready: OnReady) -> None:
    agent.prepare()
    server.start()
    tell = once(on_ready, Running(server.target, server.http_port, server.metrics_port, server.pid or 0, agent_port))
    pause = _FIRST_PAUSE_SECONDS
    while not stop.is_set():
        started = time.monotonic()
        kind, reason = _rounds(server, agent, stop, tell)
        if stop.is_set():
            return
        agent.metrics.restarts.labels(kind).inc()
        pause = _FIRST_PAUSE_SECONDS if time.monotonic() - started > _STEADY_SECONDS else pause
        _log.error("triton_down", reason=reason, restart_in_seconds=pause, log=str(server.config.log))
        agent.lost()
        server.kill()
        stop.wait(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        try:
            agent.prepare()
            server.start()
        except _PASSING as error:
            _log.error("triton_not_started", reason=str(error))


def _rounds(server: LocalTriton, agent: Agent, stop: threading.Event, tell: Callable[[], None]) -> tuple[str, str]:
    """The agent's rounds for as long as the server is whole; answers what ended it, in a word and in words."""
    config = server.config
    lost: frozenset[int] = frozenset()
    answered = probed = time.monotonic()
    while not stop.is_set():
        if not server.running:
            return "ended", "the server ended"
        # Twice, because a stub that is being unloaded is dead for a moment too.
        if lost & (lost := server.lost_stubs()):
            return "stub_lost", "a stub died or was stopped"
        outcome = play_round(agent, tell)
        if outcome is Outcome.HUNG:
            return "hung", "a model does not answer"
        if outcome is not Outcome.AWAY:
            answered = time.monotonic()
        elif time.monotonic() - answered > config.hung_seconds and not server.answers():
            return "hung", f"it has not answered for {config.hung_seconds:g} s"
        if time.monotonic() - probed > config.probe_seconds:
            # Once more: a burst of work may keep one answer waiting.
            if agent.probe() and (reason := agent.probe()) and server.running:
                return "hung", reason
            probed = time.monotonic()
        stop.wait(POLL_SECONDS)
    return "stopped", "asked to stop"


class Outcome(enum.StrEnum):
    """How a round ended. A store that is away says nothing about Triton."""

    DONE = "done"
    AWAY = "away"
    HUNG = "hung"
    FAILED = "failed"


def play_round(agent: Agent, tell: Callable[[], None]) -> Outcome:
    """One round, whatever it meets: an agent that goes on serves better than one that ends with its Triton."""
    try:
        if agent.step():
            tell()
        outcome = Outcome.DONE
    except _PASSING as error:
        # Whatever it is passes or ends the server: the next round tries again.
        _log.warning("round_failed", reason=str(error))
        outcome = Outcome.FAILED
        if isinstance(error, (Hung, Unavailable, TooLate)):
            outcome = Outcome.HUNG if isinstance(error, Hung) else Outcome.AWAY
            with contextlib.suppress(StoreError):
                agent.lost()
    except Exception:
        _log.exception("round_broken")
        outcome = Outcome.FAILED
    agent.metrics.rounds.labels(outcome.value).inc()
    return outcome


def once(on_ready: OnReady, running: Running) -> Callable[[], None]:
    """Calls `on_ready` the first time."""
    told = threading.Event()

    def tell() -> None:
        if not told.is_set():
            told.set()
            on_ready(running)

    return tell
