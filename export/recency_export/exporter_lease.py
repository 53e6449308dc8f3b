"""One exporter at a time: a lock on its workspace, which ends with the process, and a lease in the store, which all machines
see. The lease's fence goes with every write of a release's state, so that an exporter that hung and lost it decides nothing.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from recency_export.errors import ExporterBusy
from recency_store.errors import LeaseLost, StoreError
from recency_store.protocol import Store
from recency_store.records import Lease

EXPORT_LEASE = "export/run"
_LOCK = "lock"
_MICROS = 1_000_000

_log = structlog.get_logger("recency.export")


@contextmanager
def only_exporter(store: Store, workspace: Path, lease_seconds: float, clock: Callable[[], int]) -> Iterator[Lease]:
    """Holds both; ExporterBusy names who holds either now. The lease is renewed until the end by a thread of its own.

    The holder is named by its machine and workspace: a run that follows a killed one need not wait for the lease to expire.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    with _locked(workspace):
        holder = f"{socket.gethostname()}:{workspace.resolve()}"
        ttl = int(lease_seconds * _MICROS)
        lease = store.acquire_lease(EXPORT_LEASE, holder, ttl, clock())
        if lease is None:
            raise ExporterBusy(_who(store, clock))
        done = threading.Event()
        keeper = threading.Thread(
            target=_renew, args=(store, lease, ttl, lease_seconds / 3, clock, done), name="export-lease", daemon=True
        )
        keeper.start()
        try:
            yield lease
        finally:
            done.set()
            keeper.join()
            store.release_lease(lease)


def _renew(
    store: Store, lease: Lease, ttl: int, every_seconds: float, clock: Callable[[], int], done: threading.Event
) -> None:
    while not done.wait(every_seconds):
        try:
            again = store.acquire_lease(lease.name, lease.holder, ttl, clock())
            if again is None or again.fence != lease.fence:
                raise LeaseLost(f"the lease {lease.name} has passed on")
        except LeaseLost as error:
            # The next write of a state is refused by the store; nothing else of ours is seen by anybody.
            _log.error("export_lease_lost", reason=str(error))
            return
        except StoreError as error:
            _log.warning("export_lease_not_renewed", reason=str(error))


@contextmanager
def _locked(workspace: Path) -> Iterator[None]:
    path = workspace / _LOCK
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise ExporterBusy(
                f"process {file.read().strip() or '(unknown)'} is exporting in {workspace}; wait until it has ended"
            ) from error
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _who(store: Store, clock: Callable[[], int]) -> str:
    now = clock()
    held = next((lease for lease in store.list_leases(EXPORT_LEASE, now) if lease.name == EXPORT_LEASE), None)
    if held is None:
        return "another exporter was at work a moment ago; run it again"
    seconds = (held.expires_micros - now) / _MICROS
    return (
        f"{held.holder} is exporting for this store; wait until it has ended "
        f"(its lease runs out in {seconds:.0f} s where it has been killed)"
    )
