"""Stores of every size and shape bootstrap."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from recency.v1 import event_pb2, user_pb2
from recency_export.dataset import read_dataset
from recency_export.onnx_session import feed, open_model
from recency_export.serving import RATE
from recency_export.settings import RankerSettings, TrainSettings
from recency_export.snapshot import read_snapshot, take_snapshot
from recency_export.trained import read_trained
from recency_features.golden import GoldenCase, golden_request
from recency_features.history import Interaction
from recency_features.overlay import HIDDEN
from recency_features.trends import Trends, to_fold
from recency_store.manifest import verify
from recency_store.memory import MemoryStore
from recency_store.records import SlateRecord

from .conftest import NOW_MICROS, filled, make_event, make_item, shop

Run = Callable[..., Path]


def ask(folder: Path, history: Sequence[Interaction] = (), own: dict[int, float] | None = None) -> list[str]:
    """What the published recommender answers to a history, best first; the release's own items, nothing left out."""
    item_ids = json.loads((folder / "item_ids.json").read_text())
    manifest = verify(folder)
    raw = tuple((i.item_id, i.type, (NOW_MICROS - i.time_micros) / 1e6) for i in history)
    trends = np.zeros((len(item_ids), manifest.trend_width), dtype=np.float32)
    request = golden_request(GoldenCase(raw, (), (), (), (), (), ()), item_ids, trends, manifest.dim, 50)
    if own:
        request["own_count_ids"] = np.array([list(own)], dtype=np.int32)
        request["own_counts"] = np.array([list(own.values())], dtype=np.float32)
    ids, logits, _ = open_model(folder / "recommender" / "model.onnx").run(None, feed(request, "recommender"))
    assert np.isfinite(logits[0][ids[0] >= 0]).all()
    return [item_ids[i] for i in ids[0] if i >= 0]


def test_an_empty_catalogue_makes_a_release_that_finds_the_first_item_when_it_comes(run: Run) -> None:
    folder = run(MemoryStore())
    assert json.loads((folder / "item_ids.json").read_text()) == [""]
    from recency_export.parity import made_up_request

    request = made_up_request(1, 128, fresh=1, batch=1, positions=50, seed=0)
    request["item_bias"] = np.array([HIDDEN, 0.0], dtype=np.float32)
    request["exclude_ids"][:] = -1
    ids, _, _ = open_model(folder / "recommender" / "model.onnx").run(None, feed(request, "recommender"))
    assert ids[0].tolist() == [1, -1]


def test_one_item_and_no_event(run: Run) -> None:
    assert ask(run(filled([make_item(0)], []))) == ["item-000"]


def test_items_without_events_are_ranked_by_likeness_to_the_last_one(run: Run) -> None:
    folder = run(filled([make_item(n) for n in range(100)], []))
    found = ask(folder, [Interaction("item-007", event_pb2.EVENT_TYPE_CLICK, NOW_MICROS)])
    alike = [item for item in found[:10] if int(item[-3:]) % 10 == 7]
    assert len(alike) >= 8


def test_events_of_unknown_items_wait_in_the_trends(run: Run) -> None:
    events = [make_event(n, f"u{n % 5}", f"unknown-{n % 7}", NOW_MICROS + n) for n in range(100)]
    folder = run(filled([make_item(n) for n in range(20)], events))
    assert len(ask(folder)) == 20
    with np.load(folder / "trends.npz") as saved:
        assert "unknown-3" in saved["item_ids"]


def test_a_single_user_whose_events_all_have_one_time(run: Run) -> None:
    events = [make_event(n, "only", f"item-{n:03}", NOW_MICROS) for n in range(60)]
    assert len(ask(run(filled([make_item(n) for n in range(60)], events)))) == 60


def test_a_shop_whose_customers_buy_again_offers_what_they_bought_most(run: Run) -> None:
    store = shop(items=60, users=150, length=24, again=0.6, seed=2)
    folder = run(store, train=TrainSettings(epochs=6, check_every=3))
    assert verify(folder).repeat_share > 0.3
    history = [
        Interaction("item-003", event_pb2.EVENT_TYPE_CLICK, NOW_MICROS - (9 - n) * 60_000_000)
        if n % 2
        else Interaction("item-013", event_pb2.EVENT_TYPE_CLICK, NOW_MICROS - (9 - n) * 60_000_000)
        for n in range(8)
    ]
    assert {"item-003", "item-013"} <= set(ask(folder, history)[:6])


def test_a_large_catalogue_trains_on_samples_and_reads_neighbour_lists(run: Run) -> None:
    folder = run(
        shop(),
        train=TrainSettings(epochs=2, check_every=2, full_softmax_items=50, negatives=64),
        ranker=RankerSettings(epochs=2, least_cases=100, dense_items=50, neighbours=8),
    )
    assert verify(folder).metrics["validation_ndcg_at_10"] > 0
    assert (folder / "items.bin").stat().st_size < 200 * 200 * 3 * 4


def test_a_snapshot_has_what_stands_and_what_was_shown_whole() -> None:
    """Carts that were emptied, impressions that name their slate or one item, and those that were taken back."""
    add, remove, shown = (
        event_pb2.EVENT_TYPE_ADD_TO_CART,
        event_pb2.EVENT_TYPE_REMOVE_FROM_CART,
        event_pb2.EVENT_TYPE_IMPRESSION,
    )
    slate = make_event(5, "visitor", "", NOW_MICROS + 5, shown)
    slate.recommendation_id = "r"
    one, back = (make_event(6 + n, "user", "item-002", NOW_MICROS + 6 + n, shown) for n in range(2))
    back.retracts_event_id = "e6"
    other = make_event(8, "user", "item-001", NOW_MICROS + 8, shown)
    store = filled(
        [make_item(number) for number in range(3)],
        [
            make_event(1, "user", "item-000", NOW_MICROS + 1, add),
            make_event(2, "user", "item-001", NOW_MICROS + 2, add),
            make_event(3, "user", "item-000", NOW_MICROS + 3, remove),
            make_event(4, "visitor", "item-002", NOW_MICROS + 4),
            *(slate, one, back, other),
        ],
    )
    store.put_slates([SlateRecord("r", "visitor", NOW_MICROS, 1, ("item-002", "item-001"))])
    store.merge_users("visitor", "user", NOW_MICROS)

    def encode(texts: Sequence[str]) -> np.ndarray:
        return np.zeros((len(texts), 4), dtype=np.float32)

    snapshot = take_snapshot(store, store.last_sequence(), "digest", 4, encode, lambda done, total: None)
    acted = [(snapshot.item_ids[item], kind) for item, kind in zip(snapshot.item, snapshot.type, strict=True)]
    assert acted == [("item-001", add), ("item-000", remove), ("item-002", event_pb2.EVENT_TYPE_CLICK)]
    assert [snapshot.item_ids[item] for item in snapshot.shown] == ["item-002", "item-001", "item-001"]
    assert snapshot.shown_offsets.tolist() == [0, 2, 3]
    assert {*snapshot.user.tolist(), *snapshot.shown_user.tolist()} == {0}


def test_the_snapshot_leaves_out_whom_and_what_may_not_be_trained_on() -> None:
    events = [make_event(n, f"u{n % 3}", f"item-{n % 4:03}", NOW_MICROS + n) for n in range(9)]
    events[3].retracts_event_id = "e0"
    store = filled([make_item(n) for n in range(4)], events)
    store.put_user(user_pb2.User(user_id="u1", consent=user_pb2.Consent(training=False)), NOW_MICROS)
    store.delete_items(["item-003"], NOW_MICROS)

    def encode(texts: Sequence[str]) -> np.ndarray:
        return np.ones((len(texts), 4), dtype=np.float32)

    snapshot = take_snapshot(store, store.last_sequence(), "digest", 4, encode, lambda done, total: None)
    assert snapshot.item_count == 3
    assert "item-003" not in snapshot.item_ids[:3]
    # Of u0: e6 (e0 was retracted by e3); of u2: e2, e5, e8; nothing of u1.
    assert len(snapshot.user) == 4
    assert all(item.text_encoder == "digest" for item in store.list_items(10))


def test_new_events_make_a_new_release_that_keeps_the_language_model(run: Run, prepared_config) -> None:  # type: ignore[no-untyped-def]
    store = shop(items=30, users=20)
    first = run(store)
    store.append([make_event(9_999, "late", "item-001", NOW_MICROS)])
    second = run(store)
    assert (first.name, second.name) == ("1", "2")
    assert verify(second).model_versions == {"recommender": 2, "scorer": 2, "text_encoder": 1}
    assert not (second / "text_encoder").exists()
    data = read_dataset(prepared_config.workspace / "dataset" / "dataset.npz")
    snapshot = read_snapshot(prepared_config.workspace / "snapshot" / "snapshot.npz")
    assert data.users == len(np.unique(snapshot.user)) == 21


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_repeats_are_counted_once_a_visit(share: float) -> None:
    from recency_export.dataset import build_dataset
    from recency_export.settings import HoldoutSettings

    kinds = (event_pb2.EVENT_TYPE_VIEW, event_pb2.EVENT_TYPE_CLICK, event_pb2.EVENT_TYPE_PURCHASE)
    items = [0, 1, 2, 3] if not share else [0, 1, 0, 1]
    events = [
        make_event(visit * 3 + step, "u", f"item-{item:03}", NOW_MICROS + visit * 10 + step, kind)
        for visit, item in enumerate(items)
        for step, kind in enumerate(kinds)
    ]
    store = filled([make_item(n) for n in range(4)], events)

    def encode(texts: Sequence[str]) -> np.ndarray:
        return np.ones((len(texts), 4), dtype=np.float32)

    snapshot = take_snapshot(store, store.last_sequence(), "d", 4, encode, lambda done, total: None)
    assert build_dataset(snapshot, HoldoutSettings(), 0).repeat_share == share


def test_probabilities_are_calibrated_on_impressions_where_they_are_logged(run: Run) -> None:
    store = shop(users=60)
    impressions = []
    for number, event in enumerate(list(store.scan_log())):
        impression = make_event(
            10_000 + number, event.user_id, "", event.time_micros - 1, event_pb2.EVENT_TYPE_IMPRESSION
        )
        impression.shown_item_ids.extend([event.item_id, *(f"item-{(number * 7 + n) % 200:03}" for n in range(9))])
        impressions.append(impression)
    store.append(impressions)
    folder = run(store)
    manifest = verify(folder)
    assert manifest.calibration.source == "impressions"
    assert manifest.calibration.scale > 0
    assert manifest.metrics["impressions_calibration_error"] < 0.2
    # The rates that it was trained on are those of the fold that serving goes on with.
    served, logged = Trends.from_bytes((folder / "trends.npz").read_bytes()), Trends()
    logged.fold(to_fold(store.scan_log()))
    rows = [[fold.row_of[f"item-{number:03}"] for number in range(200)] for fold in (served, logged)]
    released, live = (
        fold.columns(np.array(places), manifest.trained_through_micros, manifest.trend_width)
        for fold, places in zip((served, logged), rows, strict=True)
    )
    np.testing.assert_allclose(released, live, rtol=1e-5, atol=1e-6)
    assert np.abs(released[:, -1]).max() > 0.1
    assert read_trained(folder).fitted["ranker.scale"][RATE] > 0.0
