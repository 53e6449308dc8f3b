"""Questions in people's own words: found by meaning, tilted by what somebody owns, and by what did not help."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from recency import Item, Recency, event
from showing import place_of, show

# Somebody new each time: nothing has been tried yet.
CUSTOMER = f"customer-{time.time_ns()}"
ANSWERS: dict[str, Any] = {"page_size": 4, "explain": True, "view": "ITEMS"}
COLD = "my place stays chilly although it is switched on"


def ask(client: Recency) -> None:
    """Asks questions; an article that is written meanwhile answers one of them."""
    found = client.recommend(query=COLD, query_weight=1.0, **ANSWERS)
    show(f"“{COLD}”, from somebody unknown:", found)

    words = "it says the device cannot be reached"
    for product in ("Cam One", "Thermo 3"):
        owner = f"{CUSTOMER}-{product}"
        read = client.recommend(filter=f'product = "{product}" AND categories:"Set-up"', page_size=5)
        done = client.feedback([event(owner, article) for article in read.item_ids])
        answers = client.recommend(
            owner, query=words, query_weight=0.8, consistency_token=done.consistency_token, **ANSWERS
        )
        show(f"“{words}”, from somebody who has set up a {product}:", answers, reasons=1)

    question = "I never get the text message with the number I need to sign in"
    asked = client.recommend(CUSTOMER, query=question, query_weight=1.0, **ANSWERS)
    show(f"“{question}”:", asked)
    now = datetime.now(UTC)
    outage = Item(
        item_id="incident-text-messages",
        title="Today: text messages with sign-in codes are delayed",
        text="A telephone company has an outage. Use the code from the app, or try again this evening.",
        categories=["Incident", "Sign-in"],
        available_from=now,
        available_until=now + timedelta(hours=12),
    )
    written = client.upsert_items([outage])
    answers = client.recommend(
        CUSTOMER, query=question, query_weight=1.0, consistency_token=written.consistency_token, **ANSWERS
    )
    show("The same question, after support wrote down an outage:", answers, asked, reasons=1)

    tried = next(article for article in answers.item_ids if article != outage.item_id)
    no = client.feedback([event(CUSTOMER, tried, "DISLIKE", query=question)])
    left = client.recommend(
        CUSTOMER, query=question, query_weight=1.0, consistency_token=no.consistency_token, **ANSWERS
    )
    show("“Did not help” for the first of the others:", left, answers, reasons=0)
    print(f"    what did not help is {place_of(tried, left)}")

    removed = client.delete_items([outage.item_id])
    over = client.recommend(CUSTOMER, query=question, consistency_token=removed.consistency_token)
    print(f"\nThe outage is over, its article deleted: {place_of(outage.item_id, over)}, in the next answer")
