"""A shop that starts from nothing: `recency up` over an empty store, then files imported, a release trained, customers
served, and the stack runs all the while."""

from __future__ import annotations

import csv
import os
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from served_stack import SMALL_EXPORT, CommandProcess, DataFolder, wait_until_undegraded

from recency import Item, Recency, Slate, event

SHELVES = ("coffee", "bread", "cheese", "fruit", "soap", "pasta")
KINDS = ("organic", "cheap", "fine", "family size", "local", "imported", "new")
CUSTOMERS, WEEKS = 60, 10


@dataclass(frozen=True)
class Shop:
    """The running shop, and what it answered on the way."""

    address: str
    empty: Slate
    first_items: Slate
    passed_by: Slate
    imported: list[dict[str, Any]]
    released: Slate


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, films: DataFolder) -> Iterator[Shop]:
    folder = DataFolder.make(tmp_path_factory.mktemp("shop"), SMALL_EXPORT)
    products, orders = _write_files(folder.path)
    # The stage that only depends on the language model is done already.
    shutil.copytree(
        films.path / "workspace" / "text_encoder", folder.path / "workspace" / "text_encoder", copy_function=os.link
    )
    up = CommandProcess(folder, "up", "up", "--no-movielens", "--free-ports", until_stdin_closes=False)
    try:
        with Recency(up.address) as client:
            empty = client.recommend("customer-1")
            token = client.upsert_items(
                [Item(item_id="gift-card", title="Gift card"), Item(item_id="bag", title="Shopping bag")]
            ).consistency_token
            first_items = client.recommend("customer-1", consistency_token=token, strict_consistency=True)
            passed_by = _shown_and_passed_by(client)
            imported = [
                folder.run("import", "items", str(products), *_mapped("sku=item_id", "name=title")),
                folder.run("import", "events", str(orders), *_mapped("customer=user_id", "sku=item_id", "when=time")),
            ]
            assert folder.run("export", "bootstrap")["state"] == "ACTIVE"
            released = wait_until_undegraded(client, "customer-1", page_size=20)
        yield Shop(up.address, empty, first_items, passed_by, imported, released)
    finally:
        up.close()


def _shown_and_passed_by(client: Recency) -> Slate:
    """The answer when two people have taken both things, and a dozen were shown the newer one without taking it."""
    visitors = [f"visitor-{number}" for number in range(12)]
    client.feedback(
        [
            *(event(visitor, item_id, "CLICK") for visitor in visitors[:2] for item_id in ("gift-card", "bag")),
            *(event(visitor, "bag", "IMPRESSION") for visitor in visitors),
        ]
    )
    slate = client.recommend("somebody")
    until = time.monotonic() + 10.0
    # The order of what trends is made anew at most once a second.
    while min(place.score for place in slate.recommendations) == 0.0 and time.monotonic() < until:
        time.sleep(0.2)
        slate = client.recommend("somebody")
    return slate


def _mapped(*names: str) -> list[str]:
    return [argument for name in names for argument in ("--map", name)]


def _write_files(folder: Path) -> tuple[Path, Path]:
    """A catalogue, and orders: every customer buys the same few things nearly every week."""
    products, orders = folder / "products.csv", folder / "orders.csv"
    skus = [f"{shelf}-{number}" for shelf in SHELVES for number in range(len(KINDS))]
    with products.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["sku", "name", "categories", "price"])
        rows.writerows(
            [f"{shelf}-{number}", f"{kind.capitalize()} {shelf}", shelf, 1 + number]
            for shelf in SHELVES
            for number, kind in enumerate(KINDS)
        )
    chance = random.Random(7)
    start = datetime.now(UTC) - timedelta(weeks=WEEKS)
    with orders.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["customer", "sku", "when", "type", "quantity"])
        basket = {customer: chance.sample(skus, 4) for customer in range(CUSTOMERS)}
        for week in range(WEEKS):
            for customer, staples in basket.items():
                at = start + timedelta(weeks=week, hours=customer)
                for sku in [*(s for s in staples if chance.random() < 0.8), chance.choice(skus)]:
                    at += timedelta(minutes=2)
                    rows.writerow([f"customer-{customer}", sku, at.isoformat(), "purchase", 1])
    return products, orders


@pytest.fixture
def client(shop: Shop) -> Iterator[Recency]:
    with Recency(shop.address) as connected:
        yield connected


@pytest.mark.promise(4)
def test_an_empty_store_is_answered_with_an_empty_slate_and_the_reason(shop: Shop) -> None:
    assert shop.empty.recommendations == ()
    assert shop.empty.degraded
    assert "no release is live" in shop.empty.degraded_reason
    assert shop.empty.recommendation_id


@pytest.mark.promise(2)
def test_items_are_shown_before_there_is_any_release(shop: Shop) -> None:
    assert set(shop.first_items.item_ids) == {"gift-card", "bag"}
    assert shop.first_items.degraded


def test_without_a_model_what_is_shown_and_passed_by_comes_after_what_is_taken(shop: Shop) -> None:
    assert shop.passed_by.item_ids == ("gift-card", "bag")
    taken, passed = (place.score for place in shop.passed_by.recommendations)
    assert 0.0 < passed < 0.9 * taken


def test_the_files_of_a_shop_are_imported_as_they_are(shop: Shop, client: Recency) -> None:
    items, events = shop.imported
    assert items["written"] == len(SHELVES) * len(KINDS)
    assert events["written"] == events["rows"] > CUSTOMERS * WEEKS
    product = client.get_item("coffee-2")
    assert (product.title, product.attributes["price"], tuple(product.categories)) == ("Fine coffee", 3.0, ("coffee",))


def test_the_first_release_serves_without_a_restart(shop: Shop, client: Recency) -> None:
    assert shop.released.freshness.release == 1
    assert len(shop.released.item_ids) == 20
    assert shop.released.freshness.events_used > 20
    # What came before the release is in it, whichever way it came.
    assert client.recommend("customer-1", candidate_item_ids=["gift-card", "bag"]).item_ids


def test_what_customers_buy_again_comes_again_unless_they_ask_for_something_new(client: Recency) -> None:
    everything = len(SHELVES) * len(KINDS) + 2
    again = 0
    for customer in range(10):
        user = f"customer-{customer}"
        by_default = client.recommend(user, page_size=100)
        unseen = client.recommend(user, page_size=100, include_seen=False)
        assert not by_default.degraded
        assert len(by_default.item_ids) == everything
        seen = set(by_default.item_ids) - set(unseen.item_ids)
        # Four staples and a fair chance of one more each week.
        assert 4 <= len(seen) <= 4 + WEEKS
        again += len(seen & set(by_default.item_ids[:4]))
    # By chance it would be one in five.
    assert again > 16
