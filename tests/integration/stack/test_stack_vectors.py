"""Vectors of the callers' own, over the whole stack: a film that came a moment ago is placed by what its vector says."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served_stack import ServedStack, eventually

from recency import FailedPrecondition, InvalidArgument, Item, Recency
from recency_features.spaces import SPACES, Space, write_spaces
from recency_features.spec import RECOMMENDER, SCORER, TEXT_ENCODER
from recency_store.manifest import MANIFEST, file_entry, read_manifest
from recency_store.records import ReleaseRecord, ReleaseState

SPACE, SIZE = "poster/v1", 8
SAME: dict[str, Any] = {"title": "Untitled", "text": "A film"}
NONE, ONE, OTHER = "vectors-none", "vectors-one", "vectors-other"


def with_a_space(base: Path, number: int) -> ReleaseRecord:
    """The first release over again, as if it had learned a space."""
    folder = base.parent / str(number)
    shutil.copytree(base, folder, copy_function=os.link, ignore=shutil.ignore_patterns(MANIFEST, TEXT_ENCODER))
    manifest = read_manifest(base)
    projection = np.random.default_rng(0).normal(0.0, 0.5, (SIZE, manifest.learned_dim)).astype(np.float32)
    write_spaces(folder, (Space(SPACE, np.full(SIZE, 0.1, dtype=np.float32), projection),))
    files = {name: entry for name, entry in manifest.files.items() if not name.startswith(TEXT_ENCODER)}
    manifest = replace(
        manifest,
        release=number,
        parent=1,
        model_versions=manifest.model_versions | {RECOMMENDER: number, SCORER: number},
        files=files | {SPACES: file_entry(folder / SPACES)},
    )
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return ReleaseRecord(number, ReleaseState.CANDIDATE, manifest.to_json(), str(folder), 0, 1)


@pytest.fixture
def release(stack: ServedStack, here: Recency, there: Recency) -> Iterator[int]:
    """A release with a space, served by both gateways while the test runs."""
    with stack.folder.opened() as store:
        number = store.next_release()
        store.put_release(with_a_space(stack.folder.path / "releases" / "1", number))

    def served(wanted: int) -> bool:
        # Its models are loaded first.
        with suppress(FailedPrecondition):
            here.activate_release(wanted, wait=timedelta(seconds=10))
        return all(client.recommend("").freshness.release == wanted for client in (here, there))

    eventually(lambda: served(number), lambda: f"release {number} is served")
    yield number
    eventually(lambda: served(1), lambda: "the first release is served again")


def scores(client: Recency, token: str) -> dict[str, float]:
    slate = client.recommend(
        candidate_item_ids=[NONE, ONE, OTHER], consistency_token=token, strict_consistency=True, include_seen=True
    )
    assert not slate.degraded, slate.degraded_reason
    return {place.item_id: place.score for place in slate.recommendations}


def test_a_new_films_vector_counts_in_the_next_answer_of_either_gateway_once_a_release_has_learned_its_space(
    release: int, here: Recency, there: Recency
) -> None:
    one, other = ({SPACE: tuple(row.tolist())} for row in np.eye(SIZE)[:2])
    films = [Item(item_id=name, **SAME, vectors=vectors) for name, vectors in ((NONE, {}), (ONE, one), (OTHER, other))]
    try:
        token = here.upsert_items(films).consistency_token
        assert there.get_item(ONE).vectors == one
        before = scores(here, token)
        assert before == pytest.approx(scores(there, token), abs=1e-3)
        assert len({round(score, 3) for score in before.values()}) == 3
        # The same vector at another length is the same vector; without one it is the film of its words.
        longer = {SPACE: tuple(100.0 * value for value in one[SPACE])}
        changed = [Item(item_id=ONE, **SAME, vectors=longer), Item(item_id=OTHER, **SAME)]
        after = scores(here, there.upsert_items(changed).consistency_token)
        assert after[ONE] == pytest.approx(before[ONE], abs=1e-3)
        assert after[OTHER] == pytest.approx(after[NONE], abs=1e-3)
    finally:
        here.delete_items([NONE, ONE, OTHER])


@pytest.mark.parametrize(
    ("vectors", "field"),
    [
        ({SPACE: (1.0,)}, f"vectors[{SPACE}]"),
        ({SPACE: (float("nan"),) * SIZE}, f"vectors[{SPACE}]"),
        ({SPACE: (0.0,) * SIZE}, f"vectors[{SPACE}]"),
        ({"poster/v2": (1.0,) * SIZE}, "vectors"),
    ],
)
def test_a_vector_that_is_none_names_its_field_and_changes_nothing(
    here: Recency, vectors: dict[str, tuple[float, ...]], field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        here.upsert_items(
            [Item(item_id="vectors-good", title="x"), Item(item_id="vectors-bad", title="x", vectors=vectors)]
        )
    assert [violation.field for violation in caught.value.violations] == [f"items[1].{field}"]
    assert not {"vectors-good", "vectors-bad"} & {item.item_id for item in here.list_items()}
