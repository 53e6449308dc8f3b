"""Work that must not take the cores from those that answer: run in a thread of low priority.

On Linux a niceness is a thread's own: lowering it takes no right, ends with the thread, and nobody has to raise it again.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar, TypeVarTuple

# As much as the backend's loading gives way, and the exporter.
_NICENESS = 19

_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")


def giving_way(call: Callable[[*_Arguments], _T], *arguments: *_Arguments) -> _T:
    """What `call` gives or raises. Waits for it."""
    outcome: Future[_T] = Future()

    def run() -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        try:
            outcome.set_result(call(*arguments))
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=run, name="giving way")
    thread.start()
    thread.join()
    return outcome.result()
