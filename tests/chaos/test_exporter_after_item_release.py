"""A full release after an item release, which has counted already what the full one is judged by."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from exporter_nursery import NOW_MICROS, Nursery, manifest_of, opened

from recency_export.item_release import item_release
from recency_export.progress import Silent
from recency_store.records import ReleaseState


def test_it_is_judged_as_if_the_item_release_had_not_been(
    nursery: Nursery, copied: Callable[[str], Path], unkilled: tuple[list[str], str]
) -> None:
    root = copied("after-item-release")
    with opened(root) as store:
        made = item_release(
            store, root / "releases", root / "item", store.get_release(1), Silent(), NOW_MICROS, key="item"
        )
        store.set_release_state(made.release, ReleaseState.ACTIVE)

    assert nursery.run(root)["status"] == 0

    after, alone = (json.loads(text)["metrics"] for text in (manifest_of(root, 3), unkilled[1]))
    newest = [name for name in alone if name.startswith("newest_")]
    assert "newest_parent_ndcg_at_10" in newest
    assert {name: after[name] for name in newest} == pytest.approx({name: alone[name] for name in newest})
