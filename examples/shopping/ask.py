"""A customer fills a cart: what is shown follows it, forgets what is taken out, and never shows what sold out."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from recency import Promotion, Recency, event
from showing import new_in, place_of, show

# Somebody new each time: a cart begins empty.
CUSTOMER = f"customer-{time.time_ns()}"
IN_STOCK = "stock > 0"
SHELF: dict[str, Any] = {"page_size": 8, "filter": IN_STOCK, "explain": True, "view": "ITEMS"}


def ask(client: Recency) -> None:
    """Asks for shelves while a cart fills."""
    empty = client.recommend(CUSTOMER, **SHELF)
    show("Somebody new. What most people take:", empty, reasons=1)

    # The first of what was asked for in words, as a customer finds things.
    found = client.recommend(query="a tent for two", query_weight=1.0, page_size=1, view="ITEMS")
    tent = found.recommendations[0].item
    assert tent is not None
    began = time.perf_counter()
    put = client.feedback([event(CUSTOMER, tent.item_id, "VIEW"), event(CUSTOMER, tent.item_id, "ADD_TO_CART")])
    camping = client.recommend(CUSTOMER, consistency_token=put.consistency_token, **SHELF)
    took = (time.perf_counter() - began) * 1e3
    show(f"{tent.title} is in the cart:", camping, empty)
    print(f"    {new_in(camping, empty)}, {took:.0f} ms from the cart to the new shelf, both calls")

    first = camping.recommendations[0].item
    assert first is not None
    sold = client.upsert_items([replace(first, attributes={**first.attributes, "stock": 0})])
    shelf = client.recommend(CUSTOMER, consistency_token=sold.consistency_token, **SHELF)
    print(f"\n{first.title} has just sold out: {place_of(first.item_id, shelf)}, in the next answer")
    client.upsert_items([first])

    removed = client.feedback([event(CUSTOMER, tent.item_id, "REMOVE_FROM_CART")])
    back = client.recommend(CUSTOMER, consistency_token=removed.consistency_token, **SHELF)
    show("The cart is empty again; that the tent was looked at still counts:", back, camping, reasons=1)

    rainy = Promotion("rainy week", "categories:Rainwear", 0.25)
    show(
        "A campaign with a quarter of the shelf:",
        client.recommend(CUSTOMER, promotions=[rainy], **SHELF),
        back,
        reasons=1,
    )

    consumed = f"consumable = true AND {IN_STOCK}"
    again = client.recommend("customer-1", include_seen=True, filter=consumed, page_size=3, view="ITEMS")
    show("“Buy again” is another question (include_seen, consumable = true), here for customer-1:", again)
