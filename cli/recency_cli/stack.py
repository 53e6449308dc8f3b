"""Triton, gateway and item learner as child processes of one command: started, watched, started again when one dies,
ended together.

A child says that it is ready by one JSON line on its standard output, and ends when its standard input closes: so none
outlives us, however we end. Its log goes to `<data>/logs/`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recency_cli.config import Settings
from recency_cli.errors import CliError

_READY_SECONDS = 180.0
_STOP_SECONDS = 25.0
_ASK_EVERY_SECONDS = 0.2
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0
_LOG_LIMIT_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts of a running stack listen."""

    gateway: str
    http: str
    triton: str


@asynccontextmanager
async def running_stack(
    settings: Settings,
    options: Sequence[str],
    say: Callable[[str], None],
    *,
    free_ports: bool = False,
    watch: bool = False,
    variables: Mapping[str, str] | None = None,
) -> AsyncIterator[Addresses]:
    """Starts Triton, then the gateway, and yields when both are ready; the item learner is started beside them, and with
    `watch` the exporter's watcher: the stack is whole without them. Leaving ends all, Triton last.

    `options` are those that stand before the command; with `free_ports` every port is any free one. A child that cannot
    start is a CliError with the child's own words; one that dies later is started again and `say` is told. `variables`
    join the environment of the children.
    """
    settings.logs.mkdir(parents=True, exist_ok=True)
    ports = ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"] if free_ports else []
    async with _Child("triton", [*options, "triton", *ports], settings.logs, say, variables) as triton:
        # From now on it keeps its port, so that the gateway finds it again after a restart.
        port = triton.facts["address"].rpartition(":")[2]
        triton.command = [*options, "triton", *ports, "--grpc-port", port]
        addresses = ["--address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"] if free_ports else []
        command = [*options, "serve", "--triton", triton.facts["address"]]
        async with _Child("gateway", [*command, *addresses], settings.logs, say, variables) as gateway:
            facts = gateway.facts
            gateway.command = [*command, "--address", facts["address"], "--http-address", facts["http"]]
            learn = [*options, "export", "online", "--triton", triton.facts["address"]]
            beside = {
                "learner": learn if settings["learner.enabled"] else None,
                "watcher": [*options, "export", "watch"] if watch else None,
            }
            async with contextlib.AsyncExitStack() as children:
                for name, wanted in beside.items():
                    if wanted is not None:
                        child = _Child(name, wanted, settings.logs, say, variables, needed=False)
                        await children.enter_async_context(child)
                yield Addresses(facts["address"], facts["http"], triton.facts["address"])


class _Child:
    """One child process and the task that keeps it running."""

    def __init__(
        self,
        name: str,
        command: list[str],
        logs: Path,
        say: Callable[[str], None],
        variables: Mapping[str, str] | None = None,
        *,
        needed: bool = True,
    ) -> None:
        """One that is not `needed` is started in the background, and tried again where it does not start."""
        self.name = name
        self._needed = needed
        self.command = command
        self.facts: dict[str, Any] = {}
        self._log = logs / f"{name}.log"
        self._say = say
        self._variables = dict(variables or {})
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> _Child:
        if self._needed:
            await self._start()
        await self._group.__aenter__()
        self._group.create_task(self._keep())
        return self

    async def __aexit__(self, *details: Any) -> None:
        self._stopping.set()
        await self._end()
        await self._group.__aexit__(None, None, None)

    async def _start(self) -> None:
        """Starts it and waits for its line; CliError with what it said where it ends or stays silent."""
        if self._log.exists() and self._log.stat().st_size > _LOG_LIMIT_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "recency_cli", *self.command, "--json", "--until-stdin-closes"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self._variables},
                # Ctrl-C is ours to hear; the children are told in order. Not by a session of their own: Linux shares the
                # cores between sessions (autogroups) before it looks at what in them gives way.
                process_group=0,
            )
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), _READY_SECONDS)
            facts = json.loads(line) if line else {}
        except (TimeoutError, ValueError):
            facts = {"error": f"no word within {_READY_SECONDS:.0f} s"}
        except BaseException:
            await self._end()
            raise
        if not facts.get("ready"):
            await self._end()
            raise CliError(f"{self.name} did not start: {facts.get('error', 'it ended')} (log: {self._log})")
        self.facts = facts

    async def _keep(self) -> None:
        """Starts it again whenever it ends by itself."""
        pause, told = _FIRST_PAUSE_SECONDS, ""
        while not self._stopping.is_set():
            if self._process is not None:
                code = await self._process.wait()
                if self._stopping.is_set():
                    return
                if not told:
                    self._say(f"{self.name} ended (exit code {code}); starting it again (log: {self._log})")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)
                if self._stopping.is_set():
                    return
            again = self._process is not None
            try:
                await self._start()
                if again:
                    self._say(f"{self.name} is back on {self.facts.get('address', 'this machine')}")
                pause, told = _FIRST_PAUSE_SECONDS, ""
            except CliError as error:
                if self._stopping.is_set():
                    return
                if str(error) != told:
                    self._say(str(error))
                pause, told = min(pause * 2, _LONGEST_PAUSE_SECONDS), str(error)

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def wait_until_serving(address: str, limit_seconds: float = _READY_SECONDS) -> int:
    """Waits until the gateway answers from a release, undegraded; gives its number. CliError with the gateway's own
    reason where that takes too long."""
    from recency import AsyncRecency
    from recency.errors import RecencyError

    async with AsyncRecency(address) as client:
        reason = "no answer"
        for _ in range(round(limit_seconds / _ASK_EVERY_SECONDS)):
            try:
                slate = await client.recommend("", page_size=1)
            except RecencyError as error:
                reason = str(error)
            else:
                if slate.freshness.release and not slate.degraded:
                    return slate.freshness.release
                reason = slate.degraded_reason or "no release serves"
            await asyncio.sleep(_ASK_EVERY_SECONDS)
    raise CliError(f"the gateway serves no release after {limit_seconds:.0f} s: {reason}")
