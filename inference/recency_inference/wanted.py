"""Which releases a Triton should hold, in the order in which to load them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from recency_store.records import Lease, ReleaseRecord, ReleaseState, last_good

SERVING = "serving"
READY = "ready"
# A gate that dies leaves its candidate behind; the newest ones are enough.
MAX_CANDIDATES = 2
_FIRST = (ReleaseState.ACTIVE, ReleaseState.CANARY, ReleaseState.SHADOW)


def serving_lease(release: int, gateway: str) -> str:
    """The lease by which a gateway says that it uses a release; while it lasts no agent unloads it."""
    return f"{SERVING}/{release}/{gateway}"


def ready_lease(release: int, target: str) -> str:
    """The lease by which an agent says that its Triton has a release loaded and warm."""
    return f"{READY}/{release}/{target}"


def leased_releases(leases: Iterable[Lease]) -> frozenset[int]:
    """The releases that leases of the form `<kind>/<release>/<who>` name."""
    numbers = (lease.name.split("/", 2)[1] for lease in leases if lease.name.count("/") >= 2)
    return frozenset(int(number) for number in numbers if number.isdecimal())


def wanted_releases(records: Sequence[ReleaseRecord], leased: frozenset[int]) -> list[ReleaseRecord]:
    """What is active, canary or shadow; what a gateway still uses; the last good one, so that a rollback needs no load;
    and the newest candidates, so that they can be judged."""
    newest_first = sorted(records, key=lambda record: record.release, reverse=True)
    good = last_good(records)
    candidates = [record for record in newest_first if record.state is ReleaseState.CANDIDATE]
    order = [
        *(record for state in _FIRST for record in newest_first if record.state is state),
        *(record for record in newest_first if record.release in leased),
        *([good] if good else []),
        *candidates[:MAX_CANDIDATES],
    ]
    return list({record.release: record for record in order}.values())
