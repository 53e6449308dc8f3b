"""The families of the metrics that are about releases. Labels are bounded: only releases that this gateway has to do with
now, and the arms of one comparison."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from recency_server.arm_limits import quantile
from recency_server.parts import Parts
from recency_server.roles import Role

_QUANTILES = (0.5, 0.9)


def release_families(parts: Parts) -> Iterable[Metric]:
    """All of them, read now."""
    yield from _serving(parts)
    yield from _arms(parts)
    yield from _shadow(parts)


def _serving(parts: Parts) -> Iterable[Metric]:
    releases, counters = parts.releases, parts.counters
    serving = GaugeMetricFamily("recency_serving_release", "The release in each role; 0: none.", labels=("role",))
    for role, release in ((Role.ACTIVE, releases.live), (Role.CANARY, releases.canary), (Role.SHADOW, releases.shadow)):
        serving.add_metric((role.value,), release.number if release is not None else 0)
    yield serving
    yield GaugeMetricFamily(
        "recency_canary_fraction", "The share of users that the canary answers.", value=releases.canary_fraction
    )
    draining = releases.draining
    yield GaugeMetricFamily(
        "recency_loaded_releases", "Releases held in memory.", value=len(releases.serving()) + len(draining)
    )
    yield GaugeMetricFamily(
        "recency_draining_releases", "Of these, those that take no new request.", value=len(draining)
    )
    held = GaugeMetricFamily("recency_held_requests", "Requests that use a release now.", labels=("release",))
    for release in [*releases.serving(), *draining]:
        held.add_metric((str(release.number),), release.held)
    yield held
    refused = GaugeMetricFamily(
        "recency_release_refused", "1 for each release that should serve here and cannot.", labels=("release",)
    )
    for number in releases.refusals.reasons:
        refused.add_metric((str(number),), 1)
    yield refused
    seconds = CounterMetricFamily(
        "recency_adoption_seconds", "Time spent making releases ready, by step.", labels=("step",)
    )
    for step, total in counters.adoption_seconds.items():
        seconds.add_metric((step,), total)
    yield seconds
    for name, text, value in (
        (
            "adopted_releases",
            "Releases made ready: under recency_adoption_seconds, the mean by step.",
            counters.adoptions,
        ),
        ("refused_releases", "Releases refused.", counters.refusals),
        ("release_swaps", "Times that another release became the one that answers.", counters.swaps),
        ("canary_rollbacks", "Canaries that this gateway ended.", counters.canary_rollbacks),
    ):
        yield CounterMetricFamily(f"recency_{name}", text, value=value)


def _arms(parts: Parts) -> Iterable[Metric]:
    pair = parts.arms.pair()
    if pair is None:
        return
    arms = dict(zip((Role.ACTIVE.value, Role.CANARY.value), pair, strict=True))
    for name, text in (
        ("answers", "Requests answered, since the canary began."),
        ("degraded", "Of these, those that the release's models did not make."),
        ("errors", "Requests that failed inside."),
        ("clicks", "Positive events that cited an answer."),
        ("reward", "Positive weight of these: over answers, the estimated reward."),
    ):
        family = CounterMetricFamily(f"recency_arm_{name}", text, labels=("arm",))
        for label, arm in arms.items():
            family.add_metric((label,), getattr(arm.tally, name))
        yield family
    latency = GaugeMetricFamily(
        "recency_arm_latency_seconds", "Holding the release to the ordered slate.", labels=("arm", "quantile")
    )
    for label, arm in arms.items():
        for share in _QUANTILES:
            latency.add_metric((label, str(share)), quantile(arm.latencies_seconds, share))
    yield latency


def _shadow(parts: Parts) -> Iterable[Metric]:
    if parts.releases.shadow is None:
        return
    tally = parts.shadow.tally
    for name, text, value in (
        ("scored", "Requests that the shadow scored too.", tally.scored),
        ("dropped", "Requests that it left out because there was more to do.", tally.dropped),
        ("errors", "Requests that it could not score.", tally.errors),
        ("overlap", "Shares of the first ten that both show: over recency_shadow_scored, the mean.", tally.overlap),
        ("seconds", "Time of its models.", tally.seconds),
    ):
        yield CounterMetricFamily(f"recency_shadow_{name}", text, value=value)
    # A sum of correlations can fall, so it is no counter.
    yield GaugeMetricFamily(
        "recency_shadow_rank_correlation",
        "Spearman's correlation with what was shown, on average.",
        value=tally.correlation / max(1, tally.scored),
    )
