"""`recency export watch`: a release whenever one is due, each made by a process of its own that steps back for serving."""

from __future__ import annotations

import json as json_text
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recency_cli.context import Json, now_micros, opened_store, settings_of
from recency_cli.serving import UntilStdinCloses, end_when_stdin_closes

if TYPE_CHECKING:
    from recency_cli.config import Settings
    from recency_export.watch import Make, Outcome
    from recency_store.records import ReleaseRecord

# How long a run that is told to stop may take; killed after it, the next run goes on from its receipts.
_STOP_SECONDS = 10.0


def add_to(app: typer.Typer) -> None:
    """Adds the command to the group `export`."""
    app.command("watch", epilog="Example: recency export watch --events 1000     (beside `recency up`)")(watch)


def watch(
    context: typer.Context,
    events: Annotated[
        int | None, typer.Option(min=1, help="A full release after so many new events (export.watch.events).")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="A full release after so long at most (export.watch.seconds).")
    ] = None,
    item_events: Annotated[
        int | None, typer.Option(min=1, help="An item release after so many (export.watch.item_events).")
    ] = None,
    json: Json = False,
    until_stdin_closes: UntilStdinCloses = False,
) -> None:
    """Make releases by themselves as feedback comes in, until Ctrl-C or SIGTERM. One watcher works at a time, on however
    many machines; the exporter runs at low priority, so that serving on the same machine keeps its latency."""
    from recency_cli.screen import console, print_json
    from recency_cli.up import options_of
    from recency_export.erased import forget_erased
    from recency_export.watch import Watcher
    from recency_export.watch import watch as run
    from recency_server.logs import configure_logging

    changes = {"export.watch.events": events, "export.watch.seconds": seconds, "export.watch.item_events": item_events}
    settings = settings_of(context, changes)
    exporter = settings.export()
    config = exporter.watch
    configure_logging("warning")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if until_stdin_closes:
        end_when_stdin_closes(stop.set)

    def say(kind: str, line: str) -> None:
        if json and not until_stdin_closes:
            print_json({kind: line})
        else:
            console(stderr=True).print(f"{kind}: {line}")

    if json:
        print_json({"ready": True, "pid": os.getpid()})
    with opened_store(settings) as store:
        watcher = Watcher(store, config, _ids_reader(settings))
        make = _by_process([*options_of(settings), "export", "run"], config.nice)
        run(
            store,
            config,
            watcher,
            make,
            holder=f"{socket.gethostname()}:{os.getpid()}",
            stop=stop,
            clock=now_micros,
            say=say,
            tidy=lambda: forget_erased(
                store, exporter.workspace, settings.data / "parquet", exporter.run.lease_seconds, now_micros
            ),
        )


def _ids_reader(settings: Settings) -> Callable[[ReleaseRecord], frozenset[str]]:
    from recency_export.watch import item_ids_of
    from recency_inference.artifacts import ReleaseCache

    cache = ReleaseCache(settings.fetched)

    def read(record: ReleaseRecord) -> frozenset[str]:
        with cache.hold(record.url) as folder:
            return item_ids_of(folder)

    return read


def _by_process(command: list[str], nice: int) -> Make:
    """Runs `recency export run` as a child with its own priority; its progress goes to our standard error."""
    low = ["nice", "-n", str(nice)] if nice and shutil.which("nice") else []

    def make(depth: str, stop: threading.Event) -> Outcome:
        arguments = [*low, sys.executable, "-P", "-m", "recency_cli", *command, "--depth", depth, "--json"]
        with tempfile.TemporaryFile() as said:
            # A process group of its own: Ctrl-C is ours to hear, and we end it. In a session of its own it would not give
            # way: Linux shares the cores between sessions (autogroups) before it looks at niceness.
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=said, process_group=0)
            while process.poll() is None and not stop.wait(0.2):
                pass
            if process.poll() is None:
                _end(process)
            said.seek(0)
            return _outcome(depth, process.returncode, said.read())

    return make


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _outcome(depth: str, code: int, said: bytes) -> Outcome:
    """What the child's JSON says became of the run."""
    from recency_export.watch import Outcome

    facts: dict[str, Any] = {}
    try:
        facts = json_text.loads(said.splitlines()[-1]) if said.strip() else {}
    except ValueError:
        facts = {"error": said.decode(errors="replace")[-500:]}
    if code == 0 and facts.get("state") == "ACTIVE":
        return Outcome(True, f"release {facts['release']} ({depth}) is active{_cost(facts)}", facts)
    if facts.get("state") == "REJECTED":
        return Outcome(False, f"release {facts['release']} was rejected: {facts.get('reason', '')}", facts)
    return Outcome(False, str(facts.get("error") or f"the exporter ended with code {code}"), facts)


def _cost(facts: dict[str, Any]) -> str:
    """What a run took: its stages and the most memory that it had."""
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in facts.get("stages", {}).items() if seconds)
    return f" ({stages}; {facts.get('peak_bytes', 0) / 1e6:.0f} MB)"
