"""The families of the metrics that are about policy: business rules, and what new items got of the places."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from recency_server.parts import Parts
from recency_server.rules_watch import counts


def policy_families(parts: Parts) -> Iterable[Metric]:
    """All of them, read now."""
    effect, counters = parts.rules.in_force.effect(parts.clock()), parts.counters
    rules = GaugeMetricFamily("recency_rules", "Business rules that hold now, by action.", labels=("action",))
    for action, number in counts(effect.rules).items():
        rules.add_metric((action,), number)
    yield rules
    yield GaugeMetricFamily(
        "recency_rules_refused",
        "1 where the newest state of the rules file is refused and the one before it is in force.",
        value=bool(parts.rules.problems),
    )
    yield GaugeMetricFamily(
        "recency_rules_blind",
        "Rules that hold for nothing: no item has what they ask for.",
        value=len(effect.blind),
    )
    for name, text, number in (
        ("rules_loads", "States of the rules file that came into force.", counters.rule_loads),
        ("rules_refusals", "States of the rules file that could not.", counters.rule_refusals),
        ("places", "Places of slates that a model made.", counters.places),
        ("fresh_places", "Of these, those with new items: over recency_places, their share.", counters.fresh_places),
        ("fresh_given_places", "Of these, those that only the share for new items gave.", counters.fresh_given),
    ):
        yield CounterMetricFamily(f"recency_{name}", text, value=number)
