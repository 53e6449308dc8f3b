"""Variants of a release: every table follows its items to their new rows."""

from typing import Any

import numpy as np

from recency_bench.swap_probe import SwapProbe
from recency_bench.variants import reordered

N, KINDS, WIDTH = 7, 3, 2


def test_every_table_says_of_an_item_what_it_said_before() -> None:
    rng = np.random.default_rng(1)
    none = N
    tables: dict[str, Any] = {
        "items": rng.standard_normal((N, 4)),
        "log_count": rng.standard_normal((N, 1)),
        "pairs": rng.standard_normal((N * N, KINDS)),
        "neighbour_ids": rng.integers(0, N + 1, (N, WIDTH)).astype(np.int32),
        "neighbour_weights": rng.standard_normal((N, WIDTH * KINDS)),
    }
    order = rng.permutation(N)
    new = reordered(tables, order)
    for row, old in enumerate(order):
        assert np.array_equal(new["items"][row], tables["items"][old])
        assert np.array_equal(new["log_count"][row], tables["log_count"][old])
        assert np.array_equal(new["neighbour_weights"][row], tables["neighbour_weights"][old])
        near = [none if place == none else order[place] for place in new["neighbour_ids"][row]]
        assert near == tables["neighbour_ids"][old].tolist()
        for other, old_other in enumerate(order):
            assert np.array_equal(new["pairs"][row * N + other], tables["pairs"][old * N + old_other])


def test_a_mixed_slate_is_told_from_one_whose_equals_changed_places() -> None:
    names = {1: {"a": "a", "b": "b", "c": "c"}, 2: {"a": "b", "b": "c", "c": "a"}}
    probe = SwapProbe("nowhere", names.__getitem__, base=1)
    probe._scores["user", ""] = {"a": 3.0, "b": 2.0, "c": 2.0 - 1e-4}
    whole = [("b", 3.0), ("c", 2.0), ("a", 2.0 - 1e-4)]
    # Shorter than a page here: only that is said of a slate that is right.
    assert probe._wrong(2, "user", "", whole) == "3 items"
    assert probe._wrong(2, "user", "", [whole[0], whole[2], whole[1]]) == "3 items"
    assert "expected" in probe._wrong(2, "user", "", [("a", 3.0), ("b", 2.0), ("c", 2.0)])
    assert "expected" in probe._wrong(1, "user", "", whole)
