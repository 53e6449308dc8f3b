"""What every arm of one seed starts from: a store as it was at the cut, with a release trained on it. Made once, and kept in
the work folder, so that a bench that was killed goes on."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from recency_bench.stretch import Stretch
from recency_export.pipeline import bootstrap
from recency_export.progress import Progress
from recency_export.settings import BootstrapConfig
from recency_export.workspace import Receipt, digest_of, read_receipt
from recency_store.protocol import Store
from recency_store.sqlite import open_sqlite

_APPEND_CHUNK = 5_000
_MADE_OF = "made-of.json"


@dataclass(frozen=True, slots=True)
class Start:
    """A folder with `store.db` at the cut, `releases/` with the release that is active in it, and the exporter's
    workspace."""

    folder: Path

    @property
    def releases(self) -> Path:
        """Where its release lies."""
        return self.folder / "releases"

    @property
    def seconds_to_train(self) -> float:
        """What the release took to train, from the exporter's receipts."""
        receipts = [read_receipt(path) for path in (self.folder / "export").iterdir()]
        return sum(receipt.seconds for receipt in receipts if isinstance(receipt, Receipt))

    def copy_to(self, to: Path) -> None:
        """Puts a copy of the store into a folder, also while somebody has it open, and its releases as links: releases that
        share files with them lie beside them."""
        to.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self.releases, to / "releases", copy_function=os.link)
        with (
            closing(sqlite3.connect(self.folder / "store.db")) as source,
            closing(sqlite3.connect(to / "store.db")) as target,
        ):
            source.backup(target)


def make_start(stretch: Stretch, folder: Path, export: BootstrapConfig, report: Progress) -> Start:
    """Makes the start of one seed, or finds it made of the same events by the same settings."""
    made_of = json.dumps({"digest": _digest(stretch, export)})
    marker = folder / _MADE_OF
    if marker.is_file() and marker.read_text(encoding="utf-8") == made_of:
        return Start(folder)
    shutil.rmtree(folder / "releases", ignore_errors=True)
    for path in folder.glob("store.db*"):
        path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    with closing(open_sqlite(folder / "store.db")) as store:
        fill_store(store, stretch)
        config = dataclasses.replace(export, workspace=folder / "export")
        # Killed on the way, the stages that are done are not done again: the store is filled the same.
        bootstrap(store, folder / "releases", config, report, _at(stretch.cut_micros))
    marker.write_text(made_of, encoding="utf-8")
    return Start(folder)


def fill_store(store: Store, stretch: Stretch) -> None:
    """Puts what is there at the cut into an empty store."""
    for start in range(0, len(stretch.items), 1_000):
        store.upsert_items(stretch.items[start : start + 1_000], stretch.cut_micros)
    for start in range(0, len(stretch.known), _APPEND_CHUNK):
        store.append([event.event() for event in stretch.known[start : start + _APPEND_CHUNK]])


def _at(micros: int) -> Callable[[], int]:
    return lambda: micros


def _digest(stretch: Stretch, export: BootstrapConfig) -> str:
    known = [(event.event_id, event.time_micros) for event in stretch.known]
    decides = (
        export.seed,
        export.threads,
        export.encoder_folder,
        export.model,
        export.train,
        export.holdout,
        export.ranker,
    )
    return digest_of(known, [new.item.item_id for new in stretch.items], *decides)
