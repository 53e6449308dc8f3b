"""Work that must not take the cores from those that answer: run in a thread of low priority.

On Linux a scheduling class is a thread's own: taking the lowest needs no right, ends with the thread, and nobody has to
raise it again. A thread of that class leaves the core in the moment in which another wakes; one of the lowest niceness stays
to the end of its slice, some milliseconds, at each of a request's hops.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")


def giving_way(call: Callable[[*_Arguments], _T], *arguments: *_Arguments) -> _T:
    """What `call` gives or raises. Waits for it."""
    outcome: Future[_T] = Future()

    def run() -> None:
        with contextlib.suppress(OSError):
            # 0 is this thread.
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        try:
            outcome.set_result(call(*arguments))
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=run, name="giving way")
    thread.start()
    thread.join()
    return outcome.result()
