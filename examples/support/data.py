"""A help centre of about 120 articles (articles.tsv), and how 500 customers looked for help: what they asked
(questions.tsv), which articles they opened, and which one solved it (LIKE)."""

from __future__ import annotations

import csv
import json
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SEED = 5
CUSTOMERS, DAYS = 500, 60
PRODUCTS = ("Hub X20", "Cam One", "Bell S", "Thermo 3", "Lumen lamp")


@dataclass(frozen=True)
class Article:
    """One article; `product` is empty where it is about the account."""

    item_id: str
    product: str
    topic: str
    title: str
    text: str

    def concerns(self, products: set[str]) -> bool:
        """Whether it is for an owner of these products."""
        return not self.product or self.product in products


def write(folder: Path, now: datetime) -> None:
    """Writes the articles and the events up to now."""
    rng = random.Random(SEED)
    articles = _articles()
    by_title = {article.title: article for article in articles}
    questions = {
        row["words"]: [by_title[title] for title in row["titles"].split("|")] for row in _rows("questions.tsv")
    }
    items = [
        {"item_id": a.item_id, "title": a.title, "text": a.text, "categories": [a.topic], "product": a.product}
        for a in articles
    ]
    events = [
        event for number in range(CUSTOMERS) for event in _customer(rng, f"customer-{number}", articles, questions)
    ]
    events.sort(key=lambda event: -event["time"])
    events = [event | {"time": (now - timedelta(minutes=event["time"])).isoformat()} for event in events]
    for name, rows in (("items", items), ("events", events)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _rows(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def _articles() -> list[Article]:
    """Those that every product has are written once."""
    articles: list[Article] = []
    for row in _rows("articles.tsv"):
        for product in PRODUCTS if row["product"] == "every product" else (row["product"],):
            title = row["title"].format(product=product)
            articles.append(Article(f"a{len(articles) + 1:03}", product, row["topic"], title, row["text"]))
    return articles


def _customer(
    rng: random.Random, customer: str, articles: list[Article], questions: dict[str, list[Article]]
) -> list[dict[str, Any]]:
    """Sets things up first, then has a few questions; `time` is in minutes before now."""
    products = set(rng.sample(PRODUCTS, rng.choice((1, 1, 2, 3))))
    begun = rng.uniform(0.0, DAYS * 24 * 60)
    events: list[dict[str, Any]] = []

    def note(kind: str, minutes: float, **more: Any) -> None:
        events.append({"user_id": customer, "item_id": "", "type": kind, "time": max(minutes, 0.0), **more})

    first = [a for a in articles if a.product in products and a.topic == "Set-up"]
    for step, article in enumerate(first):
        note("click", begun - 2.0 * step, item_id=article.item_id)
    own = [words for words, helpful in questions.items() if any(a.concerns(products) for a in helpful)]
    for words in rng.sample(own, min(len(own), rng.randint(1, 3))):
        minutes = rng.uniform(0.0, begun)
        note("search", minutes, query=words)
        helpful = [a for a in questions[words] if a.concerns(products)]
        beside = [a for a in articles if a.topic == helpful[0].topic and a.concerns(products)]
        for step, article in enumerate((*helpful, rng.choice(beside))):
            note("click", minutes - 1.5 * (step + 1), item_id=article.item_id)
        if rng.random() < 0.6:
            note("like", minutes - 6.0, item_id=helpful[0].item_id)
    return events
