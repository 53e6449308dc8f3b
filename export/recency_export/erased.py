"""What earlier work of the exporter still holds of people who were erased since: it goes before anything else is done.

A workspace holds the training sets of its last run. People stand in them by number, not by name, so they are not taken out
one by one: all goes, and the next run makes it anew from a log that does not hold them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from recency_export.errors import ExporterBusy
from recency_export.exporter_lease import only_exporter
from recency_store.protocol import Store

_MARK = "erased.json"


def drop_erased(store: Store, workspace: Path) -> bool:
    """Empties a workspace that was filled before the newest erasure; whether there was one. Killed anywhere, the next call
    goes on. The caller is the only exporter here."""
    newest = _newest(store, workspace)
    if not newest:
        return False
    for folder in workspace.iterdir() if workspace.is_dir() else ():
        if folder.is_dir():
            shutil.rmtree(folder)
    workspace.mkdir(parents=True, exist_ok=True)
    partial = workspace / f".{_MARK}.partial"
    partial.write_text(json.dumps({"through": newest}), encoding="utf-8")
    os.replace(partial, workspace / _MARK)
    return True


def forget_erased(store: Store, workspace: Path, parquet: Path, lease_seconds: float, clock: Callable[[], int]) -> None:
    """Drops what a workspace and a folder of Parquet files hold of people who were erased. Work that is under way in the
    workspace is not disturbed: whoever does it drops what is too old at its start, or the next call does."""
    if (parquet / "receipt.json").is_file():
        from recency_export.parquet import compact, read_receipt

        found = read_receipt(parquet)
        if found is not None and store.erasures(found.through):
            compact(store, parquet)
    if _newest(store, workspace):
        with suppress(ExporterBusy), only_exporter(store, workspace, lease_seconds, clock):
            drop_erased(store, workspace)


def _newest(store: Store, workspace: Path) -> int:
    """The newest erasure since the workspace was looked at; 0 for none."""
    try:
        through = int(json.loads((workspace / _MARK).read_text(encoding="utf-8"))["through"])
    except (OSError, ValueError, KeyError):
        through = 0
    return max((erasure.number for erasure in store.erasures(through)), default=0)
