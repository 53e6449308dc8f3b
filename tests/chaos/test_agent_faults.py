"""The agent, its Triton and its disk fail at every step of bringing and letting go of a release. Meanwhile somebody keeps
asking: no answer is ever from a half release, and when the fault is over the release that should serve does."""

from __future__ import annotations

import errno
import itertools
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from attached_stack import AttachedStack

import recency_inference.repository as repository_module
from recency_features import spec
from recency_inference.client import BlockingInference
from recency_inference.control import TritonControl
from recency_store.records import ReleaseState

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]
_SEED = 4


class Killed(BaseException):
    """The agent's process is gone at this point: nothing of it runs any more."""


@dataclass(frozen=True)
class Fault:
    """What fails at the n-th call of an operation, and whether before it, after it, or while it runs."""

    what: str
    operation: str
    nth: int
    when: str

    def __str__(self) -> str:
        return f"{self.what} {self.when} {self.operation} {self.nth}"


# Bringing a release links two files of each of two models, renames each version into place, loads both and warms them;
# letting one go loads both models again without it, renames its versions out and removes them.
POINTS = (
    ("link", 1, "before"),
    ("link", 2, "after"),
    ("link", 3, "after"),
    ("rename", 1, "before"),
    ("rename", 1, "after"),
    ("rename", 2, "after"),
    ("load", 1, "during"),
    ("load", 1, "after"),
    ("load", 2, "during"),
    ("infer", 1, "before"),
    ("infer", 9, "during"),
    ("load", 3, "before"),
    ("load", 3, "during"),
    ("load", 4, "after"),
    ("rename", 3, "after"),
    ("rename", 4, "after"),
)
FAULTS = [
    *(Fault(what, *point) for what in ("agent killed", "Triton killed", "both killed") for point in POINTS),
    *(Fault("disk full", operation, nth, "before") for operation, nth in (("link", 1), ("link", 4), ("rename", 2))),
    Fault("load fails", "load", 1, "before"),
]
# Of most kinds of fault one: a Triton that starts again costs most.
_SEEDED = random.Random(_SEED)
QUICK = [
    _SEEDED.choice([fault for fault in FAULTS if fault.what == what])
    for what in ("agent killed", "both killed", "disk full", "load fails")
]
_numbers = itertools.count(100)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Arms a fault: counts the agent's operations on the world, and strikes at the right one."""

    def arm(fault: Fault, strike: Callable[[], None]) -> list[str]:
        seen: list[str] = []

        def wrap(holder: Any, name: str, operation: str) -> None:
            call = getattr(holder, name)

            def counted(*arguments: Any, **options: Any) -> Any:
                seen.append(operation)
                mine = operation == fault.operation and seen.count(operation) == fault.nth
                if mine and fault.when == "before":
                    strike()
                if mine and fault.when == "during":
                    running = threading.Thread(target=_quietly, args=(call, arguments, options), daemon=True)
                    running.start()
                    time.sleep(0.2)
                    strike()
                    running.join()
                    return None
                result = call(*arguments, **options)
                if mine and fault.when == "after":
                    strike()
                return result

            monkeypatch.setattr(holder, name, counted)

        wrap(repository_module, "_link_or_copy", "link")
        wrap(os, "replace", "rename")
        wrap(TritonControl, "load", "load")
        wrap(BlockingInference, "infer", "infer")
        return seen

    return arm


def _quietly(call: Callable[..., Any], arguments: Any, options: Any) -> None:
    # Whoever waited for it is dead.
    try:
        call(*arguments, **options)
    except Exception:
        return


@pytest.fixture(params=FAULTS, ids=str)
def fault(request: pytest.FixtureRequest, every_fault: bool) -> Fault:
    if not every_fault and request.param not in QUICK:
        pytest.skip("one of `make chaos`")
    chosen: Fault = request.param
    return chosen


@pytest.fixture
def watched(attached: AttachedStack) -> Iterator[AttachedStack]:
    """The stack, before and after a fault: nobody was ever told what no release gives."""
    attached.still_answers()
    yield attached
    attached.still_answers()
    assert attached.watcher.wrong == []
    assert attached.watcher.refused == []


def test_a_fault_at_any_step_leaves_a_whole_release_serving(
    watched: AttachedStack, at: Callable[..., list[str]], fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, old, new = watched, watched.serving, next(_numbers)
    struck = threading.Event()

    def strike() -> None:
        struck.set()
        if fault.what == "disk full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "the disk")
        if "Triton" in fault.what or "both" in fault.what:
            stack.triton.kill()
        if fault.what in ("agent killed", "both killed"):
            raise Killed
        if fault.what == "load fails":
            raise _out_of_memory()

    activated = False
    seen = at(fault, strike)
    stack.publish(new)
    with suppress(Killed):
        while not struck.is_set() and not stack.ready(new):
            stack.round()
        # What is let go of then is what served before the one that serves now.
        activated = not struck.is_set()
        if activated:
            stack.store.set_release_state(new, ReleaseState.ACTIVE)
            stack.serving = new
            stack.play_until(struck.is_set, f"{fault} happens")
    assert struck.is_set(), f"never at {fault}: {seen}"
    degraded = stack.watcher.degraded
    monkeypatch.undo()
    if "agent" in fault.what or "both" in fault.what:
        stack.new_agent()
    if "Triton" not in fault.what and "both" not in fault.what:
        stack.still_answers()
        assert stack.watcher.degraded == degraded, "what served went on serving"
    if fault.what in ("disk full", "load fails") and not activated:
        reason = stack.store.get_release(new).reason
        assert {"disk full": "No space left", "load fails": "out of memory"}[fault.what] in reason
        assert _refusals(stack) > 0
    if fault.what == "load fails":
        assert stack.store.get_release(new).state is ReleaseState.REJECTED
        return
    stack.play_until(lambda: stack.ready(new), f"release {new} is ready after {fault}")
    if not activated:
        stack.activate(new)
    stack.play_until(
        lambda: {old, new} >= stack.loaded(spec.RECOMMENDER) == stack.on_disk(spec.RECOMMENDER), "the rest is let go"
    )
    shutil.rmtree(stack.folder.path / "releases" / str(old - 1), ignore_errors=True)


def _refusals(stack: AttachedStack) -> float:
    return sum(
        sample.value
        for metric in stack.agent.metrics.refusals.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    )


def _out_of_memory() -> Exception:
    from recency_inference.errors import LoadFailed

    return LoadFailed("failed to load: onnxruntime: out of memory")
