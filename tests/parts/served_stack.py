"""A served stack of real processes: `recency triton` and `recency serve` as a user runs them, over a test's data folder."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from recency import Recency, Slate
from recency.errors import RecencyError
from recency_store.sqlite import SqliteStore, open_sqlite

# The exporter's settings of the small releases that tests serve: they need not be good, only real.
SMALL_EXPORT = """
[export]
threads = 1
[export.train]
epochs = 4
check_every = 2
[export.ranker]
epochs = 2
[events.custom]
subscribed = 2
[catalog.spaces]
"poster/v1" = 8
"""
_READY_SECONDS = 90.0


@dataclass(frozen=True)
class DataFolder:
    """A stack's data folder with its configuration file."""

    path: Path

    @classmethod
    def make(cls, path: Path, config: str = SMALL_EXPORT) -> DataFolder:
        path.mkdir(parents=True, exist_ok=True)
        (path / "recency.toml").write_text(config, encoding="utf-8")
        return cls(path)

    def command(self, *arguments: str) -> list[str]:
        """A `recency` command over this folder."""
        options = ["--config", str(self.path / "recency.toml"), "--data", str(self.path)]
        # -P as the installed command has it: the folder that it runs in holds a `triton`, which is no package.
        return [sys.executable, "-P", "-m", "recency_cli", *options, *arguments, "--json"]

    def run(self, *arguments: str) -> Any:
        """Runs a command to its end; answers what it printed."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False, cwd=self.path)
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    @contextmanager
    def opened(self) -> Iterator[SqliteStore]:
        """The store, as one more process that uses it."""
        store = open_sqlite(self.path / "store.db")
        try:
            yield store
        finally:
            store.close()


class CommandProcess:
    """A command that serves until it is told to end. It says by one line of JSON that it is ready, and what it is."""

    def __init__(
        self, folder: DataFolder, name: str, *arguments: str, until_stdin_closes: bool = True, **variables: str
    ) -> None:
        self._log = folder.path / f"{name}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                # What ends with its standard input does not outlive these tests.
                [*folder.command(*arguments), *(["--until-stdin-closes"] if until_stdin_closes else [])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env={**os.environ, **variables},
                cwd=folder.path,
            )
        self.facts = self._read_facts()

    @property
    def address(self) -> str:
        return str(self.facts["address"])

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def resident_bytes(self) -> int:
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self._process.pid).children(recursive=True)

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        assert self._process.wait() == -signal.SIGKILL

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        self._process.terminate()

    def wait(self) -> int:
        return self._process.wait(60)

    def close(self) -> None:
        """Ends it if it runs still."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _read_facts(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], _READY_SECONDS)
        facts: dict[str, Any] = json.loads((readable and self._process.stdout.readline()) or b"{}")
        if not facts.get("ready"):
            self.close()
            raise AssertionError(f"not ready: {facts}\n{self.log[-3_000:]}")
        return facts


@dataclass
class ServedStack:
    """Triton with its agent and two gateways over one store, everything a process of its own."""

    folder: DataFolder
    triton: CommandProcess
    # Set once they run: the stack itself starts them.
    here: CommandProcess = field(init=False)
    there: CommandProcess = field(init=False)

    @classmethod
    @contextmanager
    def running(cls, folder: DataFolder) -> Iterator[ServedStack]:
        with ExitStack() as closing:
            ports = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
            triton = CommandProcess(folder, "triton", "triton", *ports)
            closing.callback(triton.close)
            stack = cls(folder, triton)
            stack.here = closing.enter_context(stack.gateway("here"))
            stack.there = closing.enter_context(stack.gateway("there"))
            yield stack

    @contextmanager
    def gateway(self, name: str = "other", **variables: str) -> Iterator[CommandProcess]:
        """One more gateway over the same store; the variables are configuration (`RECENCY_GATEWAY_…`)."""
        addresses = ("--address", "127.0.0.1:0", "--http-address", "127.0.0.1:0", "--triton", self.triton.address)
        process = CommandProcess(self.folder, name, "serve", *addresses, **variables)
        try:
            yield process
        finally:
            process.close()

    def kill_triton(self) -> None:
        """kill -9 of tritonserver and its stubs; the command that owns them, the agent, goes on."""
        for process in self.triton.children():
            with suppress(psutil.NoSuchProcess):
                process.kill()


def wait_until_undegraded(client: Recency, user_id: str = "", seconds: float = 60.0, **options: Any) -> Slate:
    """The first answer that is all that was asked for."""
    slates: list[Slate] = []

    def whole() -> bool:
        with suppress(RecencyError):
            slates[:] = [client.recommend(user_id, **options)]
        return bool(slates) and not slates[0].degraded

    eventually(
        whole, lambda: f"an undegraded answer ({slates[0].degraded_reason if slates else 'none at all'})", seconds
    )
    return slates[0]


def eventually(happened: Callable[[], object], what: Callable[[], str], seconds: float = 60.0) -> None:
    limit = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < limit, f"not within {seconds:.0f} s: {what()}"
        time.sleep(0.05)
