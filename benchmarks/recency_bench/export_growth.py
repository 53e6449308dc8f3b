"""From a log of so many events to a published release: a process of its own a length, so that its peak of memory is its own.

`python -m recency_bench.export_growth` with a JSON job on standard input is one such process; it leaves a data folder that a
stack can serve.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import subprocess
import sys
import time
import warnings
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class GrowthJob:
    """The first `events` of MovieLens in `movielens`, its times moved so that the newest of all is now; the data folder to
    make; training passes."""

    movielens: str
    events: int
    data: str
    epochs: int
    seed: int


@dataclass(frozen=True, slots=True)
class Growth:
    """What a length took: all of it, training alone, by stage, and the highest resident memory so far after each stage.
    `shift_micros` is by how much the data's times were moved."""

    events: int
    seconds: float
    seconds_to_train: float
    peak_bytes: int
    stages: dict[str, float]
    peaks: dict[str, int]
    shift_micros: int


def grow(job: GrowthJob) -> Growth:
    """Runs one job in a process of its own."""
    finished = subprocess.run(
        [sys.executable, "-P", "-m", "recency_bench.export_growth"],
        input=json.dumps(asdict(job)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Growth(**json.loads(finished.stdout.splitlines()[-1]))


def run(job: GrowthJob) -> Growth:
    """Runs one job here."""
    from recency_export.movielens import load
    from recency_export.pipeline import bootstrap
    from recency_export.progress import Silent
    from recency_export.settings import BootstrapConfig, TrainSettings
    from recency_export.workspace import read_receipt
    from recency_store.records import NewItem
    from recency_store.sqlite import open_sqlite

    data = load(Path(job.movielens))
    now = time.time_ns() // 1_000
    shift = now - data.events[-1].event_time.ToMicroseconds()
    known = data.events[: job.events]
    for event in known:
        event.event_time.FromMicroseconds(event.event_time.ToMicroseconds() + shift)
    folder = Path(job.data)
    folder.mkdir(parents=True, exist_ok=True)
    config = BootstrapConfig(workspace=folder / "workspace", seed=job.seed)
    config = dataclasses.replace(config, train=TrainSettings(epochs=job.epochs))
    with closing(open_sqlite(folder / "store.db")) as store:
        store.upsert_items([NewItem(item) for item in data.items], now)
        store.append(known)
        began = time.monotonic()
        bootstrap(store, folder / "releases", config, Silent())
        seconds = time.monotonic() - began
    found = {path.name: read_receipt(path) for path in config.workspace.iterdir()}
    receipts = {name: receipt for name, receipt in found.items() if receipt is not None}
    return Growth(
        events=len(known),
        seconds=seconds,
        seconds_to_train=receipts["fine_tune"].seconds,
        peak_bytes=max(receipt.peak_bytes for receipt in receipts.values()),
        stages={name: receipt.seconds for name, receipt in receipts.items()},
        peaks={name: receipt.peak_bytes for name, receipt in receipts.items()},
        shift_micros=shift,
    )


def main() -> None:
    """One process of the bench."""
    warnings.filterwarnings("ignore")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    job: dict[str, Any] = json.load(sys.stdin)
    print(json.dumps(asdict(run(GrowthJob(**job)))), flush=True)


if __name__ == "__main__":
    main()
