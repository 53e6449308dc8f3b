"""Runs one example from nothing: data, import, training, serving, and the questions that it asks. Each command that it
runs is printed as one would type it. `make example NAME=news`; an example's folder holds

    recency.toml   what this kind of service sets otherwise
    data.py        write(folder, now): items.jsonl and events.jsonl, the same for the same `now`
    ask.py         ask(client): questions to the served example, and what the answers show
"""

from __future__ import annotations

import argparse
import importlib
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from recency import Recency
from recency.errors import RecencyError

HERE = Path(__file__).resolve().parent
NAMES = sorted(config.parent.name for config in HERE.glob("*/recency.toml"))
_READY_SECONDS = 120.0


def main() -> None:
    """Reads the arguments and runs the example."""
    parser = argparse.ArgumentParser(description="Runs an example from nothing; ends by itself.")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--keep", action="store_true", help="go on serving, on the configured ports, until Ctrl-C")
    parser.add_argument("--address", help="only ask, a gateway that serves the example already")
    parser.add_argument("--data", type=Path, help="data folder, which is made anew (default: data/examples/NAME)")
    wanted = parser.parse_args()
    ask = importlib.import_module(f"{wanted.name}.ask").ask
    if wanted.address:
        with Recency(wanted.address) as client:
            ask(client)
        return
    begun = time.monotonic()
    folder = wanted.data or HERE.parent / "data" / "examples" / wanted.name
    command = [sys.executable, "-P", "-m", "recency_cli", "--config", str(HERE / wanted.name / "recency.toml")]
    command += ["--data", str(folder)] if wanted.data else []
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    importlib.import_module(f"{wanted.name}.data").write(folder, datetime.now(UTC))
    _run(command, "import", "items", str(folder / "items.jsonl"))
    _run(command, "import", "events", str(folder / "events.jsonl"))
    _run(command, "export", "bootstrap")
    with _served(command, free_ports=not wanted.keep) as (gateway, address):
        with Recency(address) as client:
            _wait_until_serving(client)
            ask(client)
        print(f"\ndone in {time.monotonic() - begun:.0f} s", flush=True)
        if wanted.keep:
            print(f"still serving on {address}; Ctrl-C ends it")
            with suppress(KeyboardInterrupt):
                gateway.wait()


def _say(command: list[str], *arguments: str) -> list[str]:
    """The whole command, which is printed as one would type it where we are."""
    whole = [*command, *arguments]
    here = f"{Path.cwd()}/"
    typed = ["recency", *(word.removeprefix(here) for word in whole[4:])]
    print(f"\n$ {shlex.join(typed)}", flush=True)
    return whole


def _run(command: list[str], *arguments: str) -> None:
    if subprocess.run(_say(command, *arguments), check=False).returncode:
        sys.exit(1)


@contextmanager
def _served(command: list[str], *, free_ports: bool) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`recency up` and the address of its gateway, until the block ends."""
    whole = [*_say(command, "up", *(["--free-ports"] if free_ports else [])), "--json"]
    with subprocess.Popen(whole, stdout=subprocess.PIPE, text=True, start_new_session=True) as stack:
        try:
            assert stack.stdout is not None
            line = stack.stdout.readline()
            if not line:
                sys.exit("the stack did not start")
            yield stack, json.loads(line)["address"]
        finally:
            stack.terminate()


def _wait_until_serving(client: Recency) -> None:
    until = time.monotonic() + _READY_SECONDS
    while time.monotonic() < until:
        with suppress(RecencyError):
            slate = client.recommend(page_size=1)
            if slate.freshness.release and not slate.degraded:
                return
        time.sleep(0.2)
    sys.exit(f"nothing serves the release after {_READY_SECONDS:.0f} s")


if __name__ == "__main__":
    main()
