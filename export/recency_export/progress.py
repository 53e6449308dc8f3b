"""How a long job tells its caller where it is; the command line draws bars from it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What a job reports. A stage starts, advances to `done` of `total` steps, and ends."""

    def started(self, stage: str) -> None:
        """A stage begins."""
        ...

    def advanced(self, stage: str, done: int, total: int, note: str = "") -> None:
        """`done` of `total` steps of the stage are behind us; `note` is a short figure for people."""
        ...

    def done(self, stage: str, seconds: float, skipped: bool) -> None:
        """A stage has ended; `skipped` where an earlier run had done it already."""
        ...


class Silent:
    """Reports to nobody."""

    def started(self, stage: str) -> None:
        """Nothing."""

    def advanced(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Nothing."""

    def done(self, stage: str, seconds: float, skipped: bool) -> None:
        """Nothing."""
