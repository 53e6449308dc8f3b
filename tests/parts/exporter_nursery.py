"""Exporters that are killed at a chosen file operation. One process imports everything once and forks a child for each run:
the child is gone by `os._exit` in the middle of its work, as by SIGKILL, and what it had not flushed is not written.

Run as a script it takes one JSON object a line, {"root": folder, "kill_at": number or null, "full_at": …}, and answers each
with one.
"""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recency_store.records import ReleaseState
    from recency_store.sqlite import SqliteStore

KILLED = 77
NOW_MICROS = 1_700_000_000_000_000
_WRITING = frozenset("wax+")


class Nursery:
    """The process that the children are forked from."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def run(self, root: Path, kill_at: int | None = None, full_at: int | None = None) -> dict[str, Any]:
        """One export in a child. `status` is what it exited with; `operations` the names of the file operations so far."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(
            json.dumps({"root": str(root), "kill_at": kill_at, "full_at": full_at}),
            file=self._process.stdin,
            flush=True,
        )
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def small_config(root: Path) -> Any:
    """One epoch over the small shop."""
    from recency_export.settings import (
        BootstrapConfig,
        ModelSettings,
        RankerSettings,
        RunSettings,
        TrainSettings,
        TuneSettings,
    )

    return BootstrapConfig(
        workspace=root / "workspace",
        encoder_folder=root.parent / "encoder",
        model=ModelSettings(learned_dim=16, content_dim=8, layers=1, feed_forward_dim=16),
        train=TrainSettings(epochs=1, check_every=1),
        ranker=RankerSettings(epochs=1, least_cases=100),
        tune=TuneSettings(epochs=1, last_epochs=1, least_replay=50, old_cases=10, adversarial="none"),
        run=RunSettings(served_seconds=0.0),
    )


class opened:
    """A root's store, for a `with`."""

    def __init__(self, root: Path) -> None:
        from recency_store.sqlite import open_sqlite

        self._store = open_sqlite(root / "store.db")

    def __enter__(self) -> SqliteStore:
        return self._store

    def __exit__(self, *_: object) -> None:
        self._store.close()


def manifest_of(root: Path, release: int = 2) -> str:
    """The text of a release's manifest."""
    return (root / "releases" / str(release) / "manifest.json").read_text(encoding="utf-8")


def states_of(root: Path) -> dict[int, ReleaseState]:
    """The state of each release."""
    with opened(root) as store:
        return {record.release: record.state for record in store.list_releases()}


def _count_operations(reached: Callable[[str], None]) -> None:
    """Calls `reached` before each operation that changes a file, a folder or the store."""
    import recency_store.sqlite.connection as connection_module

    plain_open = io.open

    def opened(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if _WRITING & set(mode):
            reached(f"open {mode} {os.path.basename(str(file))}")
        return plain_open(file, mode, *rest, **named)

    io.open = builtins.open = opened  # type: ignore[assignment]
    for name in ("rename", "replace", "link", "unlink", "fsync", "mkdir", "rmdir"):
        setattr(os, name, _told(name, getattr(os, name), reached))

    class Counted(connection_module._Connection):
        def execute(self, sql: str, *rest: Any) -> Any:
            if sql == "COMMIT":
                reached("commit")
            return super().execute(sql, *rest)

    connection_module._Connection = Counted  # type: ignore[misc]


def _told(name: str, plain: Callable[..., Any], reached: Callable[[str], None]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        reached(f"{name} {os.path.basename(str(arguments[0]))}")
        return plain(*arguments, **named)

    return call


def _child(root: Path, kill_at: int | None, full_at: int | None, answer: int) -> None:
    """Never returns. Writes its operations to the descriptor `answer` as they come."""
    import torch

    from recency_export.progress import Silent
    from recency_export.run import run_export
    from recency_store.sqlite import open_sqlite

    torch.set_num_threads(1)
    counted = 0

    def reached(operation: str) -> None:
        nonlocal counted
        counted += 1
        os.write(answer, f"{operation}\n".encode())
        if counted == kill_at:
            os._exit(KILLED)
        if full_at is not None and counted >= full_at and operation.startswith(("open w", "mkdir", "link")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    status = 0
    try:
        _count_operations(reached)
        store = open_sqlite(root / "store.db")
        run_export(store, root / "releases", small_config(root), Silent(), lambda: NOW_MICROS)
        store.close()
    except Exception as error:
        status = 1
        os.write(answer, f"! {type(error).__name__}: {error}\n".encode())
        traceback.print_exc()
    os._exit(status)


def _serve() -> None:
    """Imports what a run imports, then forks."""
    import onnxruntime  # noqa: F401

    import recency_export.run_evidence
    import recency_export.run_stages
    import recency_export.text_encoder  # noqa: F401

    for line in sys.stdin:
        asked = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            _child(Path(asked["root"]), asked["kill_at"], asked["full_at"], writing)
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as said:
            operations = said.read().splitlines()
        _, code = os.waitpid(child, 0)
        errors = [line[2:] for line in operations if line.startswith("! ")]
        operations = [line for line in operations if not line.startswith("! ")]
        answer = {"status": os.waitstatus_to_exitcode(code), "operations": operations, "errors": errors}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
