"""Stages that are done once: each writes one folder and leaves a receipt; what has a matching receipt is skipped.

A stage writes to `<stage>.partial`; when it is complete, the receipt is added, everything is flushed to disk and the folder
renamed to `<stage>`. Killed anywhere, the next run finds either nothing or all of it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

from recency_export.errors import DiskFull
from recency_store.manifest import file_entry

RECEIPT = "receipt.json"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a stage was made from and what it made. `inputs` and `outputs` (file → SHA-256) decide; the rest is told."""

    inputs: str
    outputs: Mapping[str, str]
    seconds: float
    peak_bytes: int

    @property
    def digest(self) -> str:
        """One name for the stage's outputs, an input of the stages that read them."""
        return digest_of(dict(self.outputs))


def digest_of(*parts: Any) -> str:
    """SHA-256 of plain values and dataclasses, by their canonical JSON."""

    def plain(part: Any) -> Any:
        if is_dataclass(part) and not isinstance(part, type):
            return asdict(part)
        return part

    text = json.dumps([plain(part) for part in parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def once(workspace: Path, stage: str, inputs: str, build: Callable[[Path], None]) -> tuple[Receipt, bool]:
    """Runs `build(folder)` unless the stage was done with the same inputs; answers the receipt, and whether it was."""
    folder = workspace / stage
    found = read_receipt(folder)
    if found is not None and found.inputs == inputs and _whole(folder, found):
        return found, True
    partial = workspace / f"{stage}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    with disk_full_named(partial):
        return _build(workspace, stage, inputs, build), False


def _build(workspace: Path, stage: str, inputs: str, build: Callable[[Path], None]) -> Receipt:
    folder, partial = workspace / stage, workspace / f"{stage}.partial"
    partial.mkdir(parents=True)
    begun = time.monotonic()
    build(partial)
    receipt = Receipt(
        inputs=inputs,
        outputs={name: file_entry(partial / name).sha256 for name in files_under(partial)},
        seconds=round(time.monotonic() - begun, 3),
        peak_bytes=peak_bytes(),
    )
    (partial / RECEIPT).write_text(json.dumps(asdict(receipt), indent=1, sort_keys=True), encoding="utf-8")
    sync_tree(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    sync_folder(workspace)
    return receipt


@contextmanager
def disk_full_named(partial: Path) -> Iterator[None]:
    """A full disk is put into words, and gets back what lies half-made in `partial`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        shutil.rmtree(partial, ignore_errors=True)
        raise DiskFull(
            f"{partial.parent}: the disk is full ({error.strerror}); what serves now goes on serving; "
            "free space, then run it again"
        ) from error


def peak_bytes() -> int:
    """The most memory that this process has held so far."""
    # Linux counts in KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def read_receipt(folder: Path) -> Receipt | None:
    """A stage's receipt, or None where it has not been done."""
    try:
        return Receipt(**json.loads((folder / RECEIPT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _whole(folder: Path, receipt: Receipt) -> bool:
    for name, checksum in receipt.outputs.items():
        path = folder / name
        if not path.is_file() or file_entry(path).sha256 != checksum:
            return False
    return True


def files_under(folder: Path) -> list[str]:
    """The files below a folder, by their relative names, sorted; receipts left out."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name != RECEIPT)


def sync_tree(folder: Path) -> None:
    """Flushes every file and folder below (and with) `folder` to disk."""
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Flushes a folder's own entries (creations and renames in it) to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
