"""What a request aims at: words, examples, candidates, filters, promotions, how far the slate may stray from the score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recency.v1 import recommendation_pb2
from recency_server import limits
from recency_server.filter_text import FilterError, parse_filter
from recency_server.promotion import Promotion
from recency_server.request_reading import Reading
from recency_server.validate import count, identifier, number, text, words

_SHARES = "have shares that sum to more than 1; a slate has no more places"
_BOTH = "is among seed_item_ids too; an item is either like what is wanted or unlike it"


def _query(value: str, reading: Reading) -> None:
    if reading.check("query", words(value, limits.QUERY_BYTES)):
        reading.query["text"] = value.strip()


def _query_weight(value: float, reading: Reading) -> None:
    if reading.check("query_weight", number(value, 0.0, 1.0)):
        reading.query["text_weight"] = value


def _candidates(value: Sequence[str], reading: Reading) -> None:
    if reading.check_ids("candidate_item_ids", value, limits.NAMED_ITEMS):
        reading.query["candidate_item_ids"] = tuple(dict.fromkeys(value))


def _filter(value: str, reading: Reading) -> None:
    if reading.check("filter", _filter_problem(value)):
        # As it was sent, so that what is said of it later counts characters as the caller does.
        reading.query["filter"] = value if value.strip() else ""


def _filter_problem(value: str) -> str | None:
    reason = text(value, limits.FILTER_BYTES)
    if reason is None:
        try:
            parse_filter(value)
        except FilterError as error:
            return str(error)
    return reason


def _promotions(value: Sequence[recommendation_pb2.Promotion], reading: Reading) -> None:
    if not reading.check("promotions", count(len(value), 0, limits.PROMOTIONS, "promotions")):
        return
    for index, promotion in enumerate(value):
        where = f"promotions[{index}]"
        reading.check(f"{where}.name", identifier(promotion.name, limits.LABEL_BYTES))
        reading.check(f"{where}.filter", _filter_problem(promotion.filter))
        reading.check(f"{where}.share", number(promotion.share, 0.0, 1.0))
    if reading.check("promotions", None if sum(p.share for p in value) <= 1.0 + 1e-9 else _SHARES):
        reading.query["promotions"] = tuple(
            Promotion(p.name, p.filter if p.filter.strip() else "", p.share) for p in value
        )


def _seeds(value: Sequence[str], reading: Reading) -> None:
    if reading.check_ids("seed_item_ids", value, limits.SEEDS):
        reading.query["seed_item_ids"] = tuple(dict.fromkeys(value))


def _negatives(value: Sequence[str], reading: Reading) -> None:
    if not reading.check_ids("negative_item_ids", value, limits.SEEDS):
        return
    seeds = reading.query.get("seed_item_ids", ())
    for index, item_id in enumerate(value):
        reading.check(f"negative_item_ids[{index}]", _BOTH if item_id in seeds else None)
    reading.query["negative_item_ids"] = tuple(dict.fromkeys(value))


def _diversity(value: float, reading: Reading) -> None:
    if reading.check("diversity", number(value, 0.0, 1.0)):
        reading.query["diversity"] = value


def _exploration(value: float, reading: Reading) -> None:
    if reading.check("exploration", number(value, 0.0, 1.0)):
        reading.query["exploration"] = value


def _exclude(value: Sequence[str], reading: Reading) -> None:
    if reading.check_ids("exclude_item_ids", value, limits.NAMED_ITEMS):
        reading.query["exclude_item_ids"] = tuple(value)


def _include_seen(value: bool, reading: Reading) -> None:
    reading.query["include_seen"] = value


AIM_READERS: Mapping[str, Callable[[Any, Reading], None]] = {
    "query": _query,
    "query_weight": _query_weight,
    "candidate_item_ids": _candidates,
    "filter": _filter,
    "promotions": _promotions,
    "seed_item_ids": _seeds,
    "negative_item_ids": _negatives,
    "diversity": _diversity,
    "exploration": _exploration,
    "exclude_item_ids": _exclude,
    "include_seen": _include_seen,
}
