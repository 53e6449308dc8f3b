"""The last sixty hours of a made-up newspaper: 256 articles of eight sections, and what 250 readers read when.

An article is read for hours, not for weeks: readers take what is new, what others read, and what their sections bring.
"""

from __future__ import annotations

import json
import math
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from news.stories import PLACES, SECTIONS

SEED = 7
HOURS, SHOWN_HOURS = 60.0, 48.0
READERS, VISITS = 250, 3_000
# After so many hours an article draws half as many readers.
HALF_HOURS = 4.0


def write(folder: Path, now: datetime) -> None:
    """Writes the articles, each with the time in which it may be shown, and the events up to now."""
    rng = random.Random(SEED)
    articles = _articles(rng)
    items = [
        {name: value for name, value in article.items() if not name.startswith("_")}
        | {
            "available_from": (now - timedelta(hours=article["_age"])).isoformat(),
            "available_until": (now + timedelta(hours=SHOWN_HOURS - article["_age"])).isoformat(),
        }
        for article in articles
    ]
    events = [event | {"time": (now - timedelta(hours=event["time"])).isoformat()} for event in _visits(rng, articles)]
    for name, rows in (("items", items), ("events", events)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _articles(rng: random.Random) -> list[dict[str, Any]]:
    """Every headline of every subject, published at some time; `_draw` is how many it draws when it is new."""
    articles: list[dict[str, Any]] = []
    for section, (subjects, headlines) in SECTIONS.items():
        for subject in subjects:
            for headline, text in headlines:
                place = rng.choice(PLACES)
                title = headline.format(place=place, subject=subject)
                articles.append(
                    {
                        "title": title[0].upper() + title[1:],
                        "text": text.format(place=place, subject=subject),
                        "categories": [section],
                        "provider": rng.choice(("the newsroom", "the agency", "the weekend desk")),
                        # Nothing has happened for three quarters of an hour.
                        "_age": rng.uniform(0.75, HOURS),
                        "_draw": rng.lognormvariate(0.0, 1.0),
                    }
                )
    articles.sort(key=lambda article: -article["_age"])
    return [{"item_id": f"article-{number}", **article} for number, article in enumerate(articles, 1)]


def _visits(rng: random.Random, articles: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was read: a visit is a few articles within minutes. `time` is in hours before now."""
    interests = [rng.sample(sorted(SECTIONS), 2) for _ in range(READERS)]
    read: list[set[str]] = [set() for _ in range(READERS)]
    events = []
    for hours in sorted((rng.uniform(0.0, HOURS - 4.0) for _ in range(VISITS)), reverse=True):
        reader = min(int(rng.expovariate(1.0) * READERS / 3), READERS - 1)
        there = [a for a in articles if 0.0 < a["_age"] - hours < SHOWN_HOURS and a["item_id"] not in read[reader]]
        for step in range(min(rng.randint(1, 4), len(there))):
            weights = [_pull(article, hours, interests[reader]) for article in there]
            article = rng.choices(there, weights)[0]
            there.remove(article)
            read[reader].add(article["item_id"])
            done = rng.choices(("click", "complete", "share"), (6, 3, 1))[0]
            time = max(hours - step * 0.03, 0.0)
            events.append({"user_id": f"reader-{reader}", "item_id": article["item_id"], "type": done, "time": time})
    return events


def _pull(article: dict[str, Any], hours: float, interests: list[str]) -> float:
    """How strongly an article draws a reader, so many hours before now."""
    age = article["_age"] - hours
    wanted = 15.0 if article["categories"][0] in interests else 1.0
    return float(article["_draw"] * wanted * math.exp2(-age / HALF_HOURS))
