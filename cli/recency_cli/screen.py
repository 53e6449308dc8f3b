"""What commands print: tables, progress bars, JSON. Without a terminal there are no bars and no colours, only lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

_WIDTH_WITHOUT_TERMINAL = 110


def console(*, stderr: bool = False) -> Console:
    """Where people read."""
    found = Console(stderr=stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, width=_WIDTH_WITHOUT_TERMINAL)


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    print(json.dumps(value, ensure_ascii=False, default=str), flush=True)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[str] = ()) -> Table:
    """A table; `right` names the columns of numbers."""
    made = Table(title=title or None, title_justify="left", title_style="bold", header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*("" if cell is None else str(cell) for cell in row))
    return made


class Bars:
    """`recency_export.progress.Progress` on the terminal: a bar a stage; a line a finished stage without a terminal."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description:<16}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=screen,
            disable=not screen.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._progress.stop()

    def started(self, stage: str) -> None:
        """A stage begins."""
        self._tasks[stage] = self._progress.add_task(stage.replace("_", " "), total=None, note="")

    def advanced(self, stage: str, done: int, total: int, note: str = "") -> None:
        """`done` of `total` steps; a total of 0 is not known yet."""
        if stage not in self._tasks:
            self.started(stage)
        self._progress.update(self._tasks[stage], completed=done, total=total or None, note=note)

    def done(self, stage: str, seconds: float, skipped: bool) -> None:
        """A stage has ended."""
        said = "there already" if skipped else f"{seconds:.1f} s"
        if stage in self._tasks:
            task = next(t for t in self._progress.tasks if t.id == self._tasks[stage])
            total = task.total or task.completed or 1
            self._progress.update(self._tasks[stage], completed=total, total=total, note=said)
            self._progress.stop_task(self._tasks[stage])
        if not self._screen.is_terminal:
            self._screen.print(f"  {stage.replace('_', ' '):<16} {said}")


@contextmanager
def bars(*, shown: bool) -> Any:
    """Bars on standard error, or nothing shown."""
    from recency_export.progress import Silent

    if not shown:
        yield Silent()
        return
    with Bars(console(stderr=True)) as made:
        yield made


def milliseconds(seconds: float) -> str:
    """A duration for people."""
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def age(seconds: float) -> str:
    """An age for people: two units at most."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
