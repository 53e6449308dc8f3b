"""Which releases a Triton should hold, and in which order."""

from recency_inference.wanted import leased_releases, ready_lease, serving_lease, wanted_releases
from recency_store.records import Lease, ReleaseRecord, ReleaseState


def record(release: int, state: ReleaseState, activation: int = 0) -> ReleaseRecord:
    return ReleaseRecord(release, state, "", "", 0, 0, activation=activation)


def test_what_serves_comes_first_and_each_release_once() -> None:
    records = [
        record(9, ReleaseState.CANDIDATE),
        record(8, ReleaseState.CANDIDATE),
        record(7, ReleaseState.CANDIDATE),
        record(6, ReleaseState.CANARY),
        record(5, ReleaseState.ACTIVE),
        record(4, ReleaseState.RETIRED),
        record(3, ReleaseState.RETIRED, activation=7),
        record(2, ReleaseState.REJECTED),
        record(1, ReleaseState.RETIRED),
    ]
    wanted = [r.release for r in wanted_releases(records, frozenset({5, 2, 1}))]
    # Active, canary, what gateways hold, the last good one for a rollback (which one left as bad is not), the two newest
    # candidates.
    assert wanted == [5, 6, 2, 1, 3, 9, 8]


def test_nothing_published_means_nothing_wanted() -> None:
    assert wanted_releases([], frozenset({3})) == []


def test_the_release_of_a_lease_is_read_from_its_name() -> None:
    names = [serving_lease(4, "gateway/with/slashes"), ready_lease(7, "127.0.0.1:8001"), "serving/none", "serving/x/y"]
    assert leased_releases([Lease(name, "", 1, 0) for name in names]) == {4, 7}
