"""Who is shown how much: the report over slates, impressions and clicks that a store holds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recency.v1 import event_pb2, item_pb2
from recency_server.exposure import NoSuchAttribute, exposure_report, gini, lorenz
from recency_store.memory import MemoryStore
from recency_store.records import NewItem, SlateRecord

DAY = 86_400 * 1_000_000


def weight(place: int) -> float:
    return 1 / math.log2(1 + place)


@pytest.fixture
def shop() -> MemoryStore:
    """Two items of a provider, one of another; the newest item is of both categories and of nobody."""
    store = MemoryStore()
    made = [("a1", "A", ["x"], 0), ("a2", "A", ["x"], 0), ("b1", "B", ["y"], 0), ("n1", "", ["x", "y"], 90)]
    for item_id, provider, categories, day in made:
        item = item_pb2.Item(item_id=item_id, provider=provider, categories=categories)
        item.attributes.update({"price": 3 if provider == "A" else 4.5})
        store.upsert_items([NewItem(item)], day * DAY)
    store.put_slates(
        [
            SlateRecord("r1", "u", 100 * DAY, 0, ("a1", "a2")),
            SlateRecord("r2", "u", 100 * DAY + 1, 0, ("b1", "gone"), {"page_of": "r1"}),
            SlateRecord("r3", "v", 92 * DAY, 0, ("n1",)),
            SlateRecord("old", "v", DAY, 0, ("b1",)),
        ]
    )
    return store


def event(number: int, kind: int, time: int, **fields: object) -> event_pb2.Event:
    made = event_pb2.Event(event_id=str(number), user_id="u", type=kind, **fields)  # type: ignore[arg-type]
    made.event_time.FromMicroseconds(time)
    return made


def test_exposure_is_discounted_by_place_over_the_pages_of_a_time(shop):
    report = exposure_report(shop, "provider", 90 * DAY, 101 * DAY, 7.0)
    a, b, nobody = weight(1) + weight(2), weight(3), weight(1)
    shares = {group.name: group for group in report.groups}
    assert (report.lists, report.impressions, report.items, report.clicks) == (3, False, 4, 0)
    assert shares["A"].exposure_share == pytest.approx(a / (a + b + nobody))
    assert shares["A"].catalogue_share == 0.5
    assert shares["B"].against_catalogue == pytest.approx(b / (a + b + nobody) / 0.25)
    assert shares["(none)"].against_merit is None
    assert report.young_share == pytest.approx(nobody / (a + b + nobody))
    assert report.never_shown_share == 0.0
    assert report.top_percent_share == pytest.approx(weight(1) / (a + b + nobody))


def test_an_item_of_two_groups_counts_half_in_each(shop):
    report = exposure_report(shop, "categories", 90 * DAY, 93 * DAY, 7.0)
    assert {g.name: (g.items, g.exposure_share) for g in report.groups} == {"x": (2.5, 0.5), "y": (1.5, 0.5)}
    assert report.never_shown_share == 0.75


def test_impressions_count_before_slates_and_clicks_are_the_merit(shop):
    shown = event_pb2.EVENT_TYPE_IMPRESSION
    shop.append(
        [
            event(1, shown, 99 * DAY, shown_item_ids=["b1", "a1"], recommendation_id="r1"),
            event(2, shown, 99 * DAY, recommendation_id="r3"),
            event(3, shown, 99 * DAY, item_id="a2", position=3),
            event(4, shown, 99 * DAY, recommendation_id="never"),
            event(5, event_pb2.EVENT_TYPE_CLICK, 99 * DAY, item_id="b1"),
            event(6, event_pb2.EVENT_TYPE_PURCHASE, 99 * DAY, item_id="a1"),
            event(7, event_pb2.EVENT_TYPE_CLICK, 2 * DAY, item_id="a1"),
            event(8, event_pb2.EVENT_TYPE_VIEW, 99 * DAY, item_id="a1"),
        ]
    )
    report = exposure_report(shop, "provider", 90 * DAY, 101 * DAY, 7.0)
    total = 2 * weight(1) + weight(2) + weight(4)
    shares = {group.name: group for group in report.groups}
    assert (report.lists, report.impressions, report.clicks) == (3, True, 2)
    assert shares["B"].exposure_share == pytest.approx(weight(1) / total)
    assert shares["B"].against_merit == pytest.approx(weight(1) / total / 0.5)
    assert shares["A"].click_share == 0.5
    assert not exposure_report(shop, "provider", 90 * DAY, 101 * DAY, 7.0, impressions=False).impressions


def test_any_attribute_makes_groups_and_one_that_nobody_has_is_refused(shop):
    report = exposure_report(shop, "price", 90 * DAY, 101 * DAY, 7.0)
    assert {group.name for group in report.groups} == {"3", "4.5"}
    with pytest.raises(NoSuchAttribute, match="colour"):
        exposure_report(shop, "colour", 90 * DAY, 101 * DAY, 7.0)
    assert exposure_report(MemoryStore(), "provider", 0, 1, 7.0).groups == ()


def test_gini_and_lorenz_tell_equal_from_unequal():
    equal, one = np.ones(200), np.append(np.zeros(199), 5.0)
    assert gini(equal) == pytest.approx(0.0)
    assert gini(one) == pytest.approx(199 / 200)
    assert gini(np.zeros(3)) == 0.0
    assert lorenz(equal) == pytest.approx([n / 100 for n in range(101)])
    assert lorenz(one)[:100] == pytest.approx([0.0] * 100)
    assert lorenz(np.zeros(2)) == ()
