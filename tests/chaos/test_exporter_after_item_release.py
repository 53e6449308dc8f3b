"""A full release after an item release, which has learned already what the full one is judged by."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from exporter_nursery import NOW_MICROS, Nursery, manifest_of, opened
from small_shop import make_event

from recency_export.item_release import item_release
from recency_export.progress import Silent
from recency_store.protocol import Store
from recency_store.records import LearnedRow, ReleaseState

USERS = 60
LEARNED_DIM = 16


def test_it_is_judged_as_if_the_item_release_had_not_been(nursery: Nursery, copied: Callable[[str], Path]) -> None:
    judged_by = []
    for name in ("without", "with"):
        root = copied(f"{name}-item-release")
        with opened(root) as store:
            for number in range(3 * USERS):
                micros = NOW_MICROS - 1_000_000 * (3 * USERS - number)
                item = (3, 150, 151)[number % 3]
                store.append([make_event(30_000 + number, f"pair-{number // 3}", f"item-{item:03}", micros)])
            if name == "with":
                _make_item_release(store, root)
        assert nursery.run(root)["status"] == 0
        metrics = json.loads(manifest_of(root, 3 if name == "with" else 2))["metrics"]
        judged_by.append({name: value for name, value in metrics.items() if name.startswith("newest_parent")})

    without, after = judged_by
    assert after == pytest.approx(without)


def _make_item_release(store: Store, root: Path) -> None:
    """One that has moved every item far away, so that whoever answers as it does is heard."""
    lease = store.acquire_lease("learner", "test", 10**9, NOW_MICROS)
    assert lease is not None
    rng = np.random.default_rng(0)
    rows = [
        LearnedRow(f"item-{number:03}", (10 * rng.normal(size=LEARNED_DIM)).astype("<f4").tobytes())
        for number in range(200)
    ]
    store.put_learned(1, 0, store.last_sequence(), NOW_MICROS, rows, lease)
    made = item_release(store, root / "releases", root / "item", store.get_release(1), Silent(), NOW_MICROS, key="item")
    store.set_release_state(made.release, ReleaseState.ACTIVE)
