"""Slates as they are printed: a table, JSON for scripts, and what an answer tells of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from recency import Freshness, Reason, Slate, Trace

# Of each item and of a trace, so many are printed; --json has all.
_REASONS = 3
_EVENTS = 5


def print_slate(slate: Slate, title: str, json: bool) -> None:
    """A whole answer."""
    from recency_cli.screen import console, print_json

    if json:
        print_json(slate_json(slate))
        return
    screen = console()
    screen.print(slate_table(slate, title))
    screen.print(freshness_line(slate.freshness), style="dim")
    if slate.trace is not None:
        print_trace(screen, slate.trace)
    if slate.next_page_token:
        screen.print(f"next page: the same command with --page {slate.next_page_token}", style="dim")
    if slate.degraded:
        screen.print(f"degraded: {slate.degraded_reason}", style="yellow")


def slate_json(slate: Slate) -> dict[str, Any]:
    """A slate for scripts."""
    fresh = slate.freshness
    return {
        "recommendation_id": slate.recommendation_id,
        "recommendations": [
            {"item_id": r.item_id, "title": r.item.title if r.item else "", "score": r.score,
             "probability": r.probability, "source": r.source.name,
             "propensity": r.propensity, "promotion": r.promotion,
             "reasons": [{"kind": reason.kind.name, "text": reason.text, "event_id": reason.event_id,
                          "item_id": reason.item_id, "contribution": reason.contribution} for reason in r.reasons]}
            for r in slate.recommendations
        ],
        "freshness": {
            "release": fresh.release, "events_used": fresh.events_used,
            "behaviour_time": fresh.behaviour_time, "trained_through_time": fresh.trained_through_time,
            "catalog_time": fresh.catalog_time,
        },
        "degraded": slate.degraded,
        "degraded_reason": slate.degraded_reason,
        "missing_item_ids": list(slate.missing_item_ids),
        "next_page_token": slate.next_page_token,
        "trace": None if slate.trace is None else _trace_json(slate.trace),
    }  # fmt: skip


def slate_table(slate: Slate, title: str) -> Any:
    """A slate as a table with titles."""
    from recency_cli.screen import table

    explained = any(r.reasons for r in slate.recommendations)
    rows = []
    for place, r in enumerate(slate.recommendations, 1):
        name, categories = (r.item.title, " ".join(r.item.categories)) if r.item else ("", "")
        chance = "" if r.probability is None else f"{r.probability:.1%}"
        # Reasons need the room, and name the categories that matter.
        said = why(r.reasons) if explained else categories
        rows.append((place, r.item_id, name, said, f"{r.score:.2f}", chance))
    columns = ("#", "item", "title", "why" if explained else "categories", "score", "chance")
    return table(title, columns, rows, right=("#", "score", "chance"))


def why(reasons: Sequence[Reason]) -> str:
    """The first reasons of an item, a line each, with what they add to the score."""
    lines = [f"{r.text} ({r.contribution:+.2f})" if r.contribution else r.text for r in reasons[:_REASONS]]
    return "\n".join(lines)


def print_trace(screen: Console, trace: Trace) -> None:
    """How an answer came about, as three small tables and two lines."""
    from recency_cli.screen import table

    stages = [(name, f"{seconds.total_seconds() * 1000:.1f} ms") for name, seconds in trace.stages]
    screen.print(table("stages", ("stage", "took"), stages, right=("took",)))
    sources = [(name.removeprefix("SOURCE_").lower(), count) for name, count in trace.candidates_by_source.items()]
    screen.print(table("scored", ("source", "items"), sources, right=("items",)))
    causes = [
        (f.cause, f.count, " ".join(f.item_ids) + (" …" if f.count > len(f.item_ids) else "")) for f in trace.filtered
    ]
    screen.print(table("not in it", ("cause", "items", "which"), causes, right=("items",)))
    for said, ids in (("used", trace.used_event_ids), ("not used", trace.unused_event_ids)):
        newest = " ".join(ids[-_EVENTS:])
        screen.print(f"events {said}: {len(ids)}" + (f", the newest {newest}" if newest else ""), style="dim")


def _trace_json(trace: Trace) -> dict[str, Any]:
    return {
        "stages": [{"stage": name, "seconds": took.total_seconds()} for name, took in trace.stages],
        "candidates_by_source": dict(trace.candidates_by_source),
        "filtered": [{"cause": f.cause, "count": f.count, "item_ids": list(f.item_ids)} for f in trace.filtered],
        "used_event_ids": list(trace.used_event_ids),
        "unused_event_ids": list(trace.unused_event_ids),
    }


def freshness_line(fresh: Freshness) -> str:
    """How fresh an answer is, in one line."""
    from recency_cli.screen import age

    parts = [f"release {fresh.release}" if fresh.release else "no release"]
    for name, value in (
        ("trained through", fresh.trained_through_age),
        ("newest event used", fresh.behaviour_age),
        ("newest catalogue change", fresh.catalog_age),
    ):
        if value is not None:
            parts.append(f"{name} {age(value.total_seconds())} ago")
    return " · ".join([*parts, f"{fresh.events_used} events used"])
