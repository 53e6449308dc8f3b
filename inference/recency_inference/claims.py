"""What an agent says by leases: that it owns its Triton, and which releases are ready there."""

from __future__ import annotations

from collections.abc import Callable, Set

import structlog

from recency_inference.errors import NotOwner
from recency_inference.wanted import ready_lease
from recency_store.protocol import Store
from recency_store.records import Lease

_log = structlog.get_logger("recency.agent")
_MICROS = 1_000_000


class Claims:
    """The leases that one agent holds."""

    def __init__(self, store: Store, target: str, holder: str, lease_seconds: float, clock: Callable[[], int]) -> None:
        self._store = store
        self._target = target
        self._holder = holder
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._ready: dict[int, Lease] = {}
        self._ownership: Lease | None = None

    @property
    def ready(self) -> Set[int]:
        """The releases that are said to be ready."""
        return self._ready.keys()

    def own(self) -> None:
        """Takes or renews the ownership of this Triton; NotOwner while another agent has it."""
        self._ownership = self._lease(f"agent/{self._target}")
        if self._ownership is None:
            raise NotOwner(
                f"another agent owns the Triton at {self._target}; end it, or wait up to "
                f"{self._lease_seconds:.0f} s where it has been killed"
            )

    def say_ready(self, release: int) -> None:
        """Says, or says again, that a release is loaded and warm."""
        lease = self._lease(ready_lease(release, self._target))
        if lease is not None:
            if release not in self._ready:
                _log.info("ready", release=release, target=self._target)
            self._ready[release] = lease

    def unsay_ready(self, release: int) -> None:
        """Takes that word back."""
        lease = self._ready.pop(release, None)
        if lease is not None:
            self._store.release_lease(lease)

    def close(self) -> None:
        """Takes everything back."""
        for release in list(self._ready):
            self.unsay_ready(release)
        if self._ownership is not None:
            self._store.release_lease(self._ownership)
            self._ownership = None

    def _lease(self, name: str) -> Lease | None:
        return self._store.acquire_lease(name, self._holder, int(self._lease_seconds * _MICROS), self._clock())
