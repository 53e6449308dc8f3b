"""What this gateway says of releases to everybody else, as leases: that it serves one, and that it cannot and why.

`serving/<release>/<gateway>` keeps a release loaded; `refused/<release>/<gateway>` has the reason as its holder, so that
`recency release show` can tell it on any machine. Both end by themselves when the gateway dies. All calls block; they run
in a thread.
"""

from __future__ import annotations

import threading

import structlog

from recency_inference.wanted import serving_lease
from recency_server.query import Clock
from recency_store.errors import StoreError
from recency_store.protocol import Store
from recency_store.records import Lease

REFUSED = "refused"
_REASON_CHARACTERS = 500
_MICROS = 1_000_000

_log = structlog.get_logger("recency.server")


def refused_lease(release: int, gateway: str) -> str:
    """The lease by which a gateway says that it cannot serve a release that should serve."""
    return f"{REFUSED}/{release}/{gateway}"


class ReleaseLeases:
    """The leases of one gateway."""

    def __init__(self, store: Store, clock: Clock, gateway_id: str, seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._gateway_id = gateway_id
        self._ttl_micros = int(seconds * _MICROS)
        self._held: dict[str, Lease] = {}
        # Renewing must not take again what another thread has just given up.
        self._lock = threading.RLock()

    def serve(self, release: int) -> None:
        """Says that the gateway uses a release. StoreError where that cannot be written."""
        self._take(serving_lease(release, self._gateway_id), self._gateway_id)

    def let_go(self, release: int) -> None:
        """Takes that back."""
        self._give_up(serving_lease(release, self._gateway_id))

    def refuse(self, release: int, reason: str) -> None:
        """Says why the gateway cannot serve a release. Best effort: log and metrics have it anyway."""
        name, reason = refused_lease(release, self._gateway_id), reason[:_REASON_CHARACTERS]
        with self._lock:
            held = self._held.get(name)
            if held is not None and held.holder != reason:
                self._give_up(name)
            try:
                self._take(name, reason)
            except StoreError as error:
                _log.warning("reason not on record", release=release, error=str(error))

    def accept(self, release: int) -> None:
        """Takes a refusal back."""
        self._give_up(refused_lease(release, self._gateway_id))

    def renew(self) -> None:
        """Renews all of them; where the store is away, later: they last for several tries."""
        with self._lock:
            try:
                for lease in list(self._held.values()):
                    self._take(lease.name, lease.holder)
            except StoreError as error:
                _log.warning("leases not renewed", error=str(error))

    def close(self) -> None:
        """Gives all of them up."""
        for name in list(self._held):
            self._give_up(name)

    def _take(self, name: str, holder: str) -> None:
        with self._lock:
            lease = self._store.acquire_lease(name, holder, self._ttl_micros, self._clock())
            if lease is not None:
                self._held[name] = lease

    def _give_up(self, name: str) -> None:
        with self._lock:
            lease = self._held.pop(name, None)
            if lease is not None:
                try:
                    self._store.release_lease(lease)
                except StoreError:
                    _log.warning("lease not given up; it expires", lease=lease.name)
