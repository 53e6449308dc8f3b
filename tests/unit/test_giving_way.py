"""Work that gives way: its class is its own thread's, and what it says reaches who asked."""

from __future__ import annotations

import os

import pytest

from recency_inference.giving_way import giving_way


def test_it_runs_in_the_idle_class_and_leaves_who_asked_as_it_was() -> None:
    assert giving_way(os.sched_getscheduler, 0) == os.SCHED_IDLE
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_what_it_gives_or_raises_reaches_who_asked() -> None:
    assert giving_way(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        giving_way(divmod, 7, 0)
