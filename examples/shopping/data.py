"""A made-up shop of about 300 products, and what 300 customers looked at, put into the cart, took out again and bought in
six weeks. Each came for a project or two (a weekend in the hills, better coffee), has a favourite brand and a purse."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from shopping.assortment import BRANDS, KINDS, PROJECTS

SEED = 11
CUSTOMERS, DAYS = 300, 42
BRANDS_A_MODEL = 2


def write(folder: Path, now: datetime) -> None:
    """Writes the products and the events up to now."""
    rng = random.Random(SEED)
    products = _products(rng)
    events = [event for number in range(CUSTOMERS) for event in _customer(rng, f"customer-{number}", products)]
    events.sort(key=lambda event: -event["time"])
    for event in events:
        event["time"] = (now - timedelta(minutes=event["time"])).isoformat()
    items = [{name: value for name, value in product.items() if not name.startswith("_")} for product in products]
    for name, rows in (("items", items), ("events", events)):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


def _products(rng: random.Random) -> list[dict[str, Any]]:
    """Each model by two brands. `_kind` is what it is, `_draw` how well known."""
    products: list[dict[str, Any]] = []
    for name, kind in KINDS.items():
        for rank, model in enumerate(kind.models):
            middle = kind.cheapest + (kind.dearest - kind.cheapest) * (rank + 0.5) / len(kind.models)
            for brand in rng.sample(BRANDS[kind.category], BRANDS_A_MODEL):
                products.append(
                    {
                        "item_id": f"p{len(products) + 1:03}",
                        "title": f"{brand} {model} {name}",
                        "text": kind.said,
                        "categories": [kind.category],
                        "provider": brand,
                        "price": round(middle * rng.uniform(0.8, 1.2), 2),
                        "stock": rng.choice((0, 1, 2, 4, 8, 15, 30, 60)),
                        "consumable": kind.consumable,
                        "_kind": name,
                        "_draw": rng.lognormvariate(0.0, 0.8),
                    }
                )
    return products


def _customer(rng: random.Random, customer: str, products: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What one customer did; `time` is in minutes before now."""
    favourite = {brand for brands in BRANDS.values() for brand in brands if rng.random() < 0.25}
    rich = rng.random()
    events: list[dict[str, Any]] = []
    for project in rng.sample(PROJECTS, rng.choice((1, 1, 2))):
        minutes = rng.uniform(0.0, DAYS * 24 * 60)
        for kind in project:
            if rng.random() < 0.25:
                continue
            there = [product for product in products if product["_kind"] == kind]
            dear = sorted(there, key=lambda product: product["price"])
            weights = [
                product["_draw"]
                * (4.0 if product["provider"] in favourite else 1.0)
                # The purse: products far from its own place between cheap and dear are seldom looked at.
                / (0.2 + abs(dear.index(product) / len(dear) - rich))
                for product in there
            ]
            looked = list({product["item_id"]: product for product in rng.choices(there, weights, k=3)}.values())
            for product in looked:
                events.append({"type": "view", "item_id": product["item_id"], "time": minutes})
                minutes = max(minutes - rng.uniform(0.5, 4.0), 0.0)
            events += _bought(rng, looked[-1], minutes)
            minutes = max(minutes - rng.uniform(1.0, 30.0), 0.0)
    return [{"user_id": customer, **event} for event in events]


def _bought(rng: random.Random, product: dict[str, Any], minutes: float) -> list[dict[str, Any]]:
    """What becomes of the product that was looked at last."""
    if rng.random() < 0.3:
        return []
    in_cart = {"type": "add_to_cart", "item_id": product["item_id"], "time": minutes}
    if rng.random() < 0.15:
        return [in_cart, {**in_cart, "type": "remove_from_cart", "time": max(minutes - 2.0, 0.0)}]
    if rng.random() < 0.3:
        return [in_cart]
    paid = {"type": "purchase", "value": product["price"], "currency": "EUR", "time": max(minutes - 5.0, 0.0)}
    times = rng.randint(2, 4) if product["consumable"] else 1
    return [in_cart, *({**in_cart, **paid, "time": max(minutes - 5.0 - n * 9_000, 0.0)} for n in range(times))]
