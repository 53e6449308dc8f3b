"""The worked case: what somebody just did counts at once, and the next release has learned it.

A user sees A, B and C and clicks A: films like A become likelier. The user clicks B, and others go the same way; after
`export run` the new release says so by itself. Every probability is printed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from served_stack import ServedStack, eventually

from recency import EventType, Recency, Slate, event
from recency_store.manifest import read_manifest
from recency_store.records import ReleaseState

# It makes a release itself, and may be the first to need the one before.
pytestmark = pytest.mark.timeout(600)
USER, CROWD, LIKE, NEAR = "worked-case", 40, 4, 20


@pytest.fixture
def first_release_again(stack: ServedStack) -> Iterator[None]:
    """Other tests find the first release serving."""
    yield
    with stack.folder.opened() as store:
        store.set_release_state(1, ReleaseState.ACTIVE)
    for gateway in (stack.here, stack.there):
        with Recency(gateway.address) as client:
            _wait_for(client, 1)


def _wait_for(client: Recency, release: int) -> Slate:
    eventually(lambda: client.recommend(USER).freshness.release == release, lambda: f"release {release} is served")
    return client.recommend(USER)


def _neighbours(stack: ServedStack, item_ids: list[str], film: str) -> list[str]:
    """The other films by how close the first release's vectors are to a film's, the closest first."""
    folder = stack.folder.path / "releases" / "1"
    manifest = read_manifest(folder)
    size = manifest.item_count * manifest.dim
    matrix = np.fromfile(folder / "items.bin", "<f4", count=size).reshape(manifest.item_count, -1)
    learned = matrix[:, : manifest.learned_dim]
    unit = learned / np.linalg.norm(learned, axis=1, keepdims=True)
    order = np.argsort(-(unit @ unit[item_ids.index(film)]), kind="stable")
    return [item_ids[row] for row in order if item_ids[row] != film]


def test_what_a_user_does_counts_at_once_and_the_next_release_has_learned_it(
    stack: ServedStack, here: Recency, film_ids: list[str], first_release_again: None
) -> None:
    a = film_ids[0]
    like_a = _neighbours(stack, film_ids, a)
    b, c = like_a[0], like_a[-1]
    # Like A, and not so much that one click makes them certain.
    watched = like_a[NEAR : NEAR + LIKE]

    def asked(moment: str, token: str = "", user: str = USER) -> float:
        slate = here.recommend(
            user,
            page_size=50,
            candidate_item_ids=[*watched, c],
            consistency_token=token,
            strict_consistency=bool(token),
        )
        assert not slate.degraded, slate.degraded_reason
        chances = {place.item_id: place.probability or 0.0 for place in slate.recommendations}
        mean = float(np.mean([chances[item] for item in watched]))
        shown = "  ".join(f"{item}: {chances[item]:.4f}" for item in (*watched, c))
        print(f"{moment:<34} release {slate.freshness.release}  like A: {mean:.4f}  ({shown})")
        return mean

    with stack.folder.opened() as store:
        parent = store.active_release().release
    before = asked("before anything")
    token = here.feedback([event(USER, type=EventType.IMPRESSION, shown_item_ids=[a, b, c])]).consistency_token
    seen = asked("A, B, C seen", token)
    token = here.feedback([event(USER, a, type=EventType.CLICK)]).consistency_token
    clicked = asked("A clicked", token)
    token = here.feedback([event(USER, b, type=EventType.CLICK)]).consistency_token
    # Others go on from A and B to what is like A: that is what there is to learn.
    for number in range(CROWD):
        rest = [watched[(number + place) % LIKE] for place in range(LIKE)]
        token = here.feedback(
            [event(f"crowd-{number}", item, type=EventType.CLICK) for item in (a, b, *rest)]
        ).consistency_token
    clicked_again = asked("B clicked, 40 others like A", token)

    made = stack.folder.run("export", "run")
    print(made["state"], made["reason"], made["stages"], f"served after {made['served_after_seconds']} s")
    assert made["state"] == "ACTIVE", made["reason"]
    assert made["parent"] == parent
    slate = _wait_for(here, made["release"])
    learned = asked("the new release")

    trained, behaved = slate.freshness.trained_through_time, slate.freshness.behaviour_time
    assert trained is not None
    assert behaved is not None
    assert trained >= behaved
    assert clicked > seen
    assert clicked > before
    assert learned > clicked_again
