"""What Prometheus reads: plain numbers that the request path adds to, turned into families when they are scraped.

Labels are bounded: methods of the proto, status codes, degraded causes that this code names.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

import grpc
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from recency_server.admission import Admission
from recency_server.learned import learner_families
from recency_server.parts import Parts
from recency_server.policy_metrics import policy_families
from recency_server.release_metrics import release_families
from recency_store.errors import StoreError

# Upper bounds in seconds; one more bucket holds the rest.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
MICROS = 1_000_000


class MethodStats:
    """How often a method was called, with which status, and how long it took."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.codes: dict[grpc.StatusCode, int] = {}
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total_seconds = 0.0

    def note(self, code: grpc.StatusCode, seconds: float) -> None:
        """One call."""
        self.codes[code] = self.codes.get(code, 0) + 1
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total_seconds += seconds


class GatewayCollector(Collector):
    """Every family of one gateway."""

    def __init__(self, parts: Parts, stats: Sequence[MethodStats], admissions: Sequence[Admission]) -> None:
        self._parts = parts
        self._stats = stats
        self._admissions = admissions

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead of time: registering reads no numbers."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """All families, read now."""
        yield from self._calls()
        yield from self._path()
        yield from self._freshness()
        parts = self._parts
        yield from learner_families(parts.learned, parts.releases.live, parts.store, parts.clock)
        yield from release_families(self._parts)
        yield from policy_families(self._parts)

    def _calls(self) -> Iterable[Metric]:
        calls = CounterMetricFamily("recency_requests", "Calls by method and status.", labels=("method", "code"))
        latency = HistogramMetricFamily("recency_request_seconds", "How long calls took.", labels=("method",))
        for stats in self._stats:
            for code, number in stats.codes.items():
                calls.add_metric((stats.method, code.name), number)
            if stats.codes:
                latency.add_metric((stats.method,), _cumulative(stats.counts), stats.total_seconds)
        running = GaugeMetricFamily("recency_running_calls", "Calls that run now, by kind.", labels=("kind",))
        refused = CounterMetricFamily("recency_refused_calls", "Calls refused for want of a place.", labels=("kind",))
        for admission in self._admissions:
            running.add_metric((admission.kind,), admission.busy)
            refused.add_metric((admission.kind,), admission.refused)
        yield from (calls, latency, running, refused)

    def _path(self) -> Iterable[Metric]:
        counters = self._parts.counters
        degraded = CounterMetricFamily("recency_degraded_answers", "Degraded answers by cause.", labels=("cause",))
        for cause, number in counters.degraded.items():
            degraded.add_metric((cause,), number)
        yield degraded
        for name, text, number in (
            ("answers", "Slates answered.", counters.answers),
            ("batches", "Calls of Triton for slates.", counters.batches),
            ("batch_rows", "Requests in those calls: over recency_batches, the mean batch.", counters.rows),
            ("batch_dropped_rows", "Requests that were late before their batch was sent.", counters.dropped_rows),
            ("batch_refused_rows", "Requests that found the batch queue full.", counters.refused_rows),
            ("followed_events", "Events taken in from the log.", counters.events),
            ("followed_items", "Item changes taken in from the log.", counters.items),
            ("user_loads", "User states read from the store.", counters.user_loads),
            ("user_hits", "User states found in memory.", counters.user_hits),
            ("encoded_texts", "Texts that went through the text encoder.", counters.texts_encoded),
            ("logged_slates", "Slates written to the store.", counters.slates_logged),
            ("dropped_slates", "Slates that were not written.", counters.slates_lost),
        ):
            yield CounterMetricFamily(f"recency_{name}", text, value=number)

    def _freshness(self) -> Iterable[Metric]:
        follower = self._parts.follower
        now = self._parts.clock()
        try:
            behind = max(0, self._parts.store.last_sequence() - follower.applied)
        except StoreError:
            behind = -1
        yield GaugeMetricFamily("recency_follower_lag", "Changes not applied yet; -1: the store is away.", value=behind)
        ages = GaugeMetricFamily("recency_age_seconds", "How old what answers rest on is.", labels=("what",))
        number = 0
        release = self._parts.releases.live
        if release is not None:
            number = release.number
            ages.add_metric(("release",), (now - release.record.create_micros) / MICROS)
            ages.add_metric(("trained_through",), (now - release.manifest.trained_through_micros) / MICROS)
        if follower.catalog.newest_micros is not None:
            ages.add_metric(("catalog",), (now - follower.catalog.newest_micros) / MICROS)
        if follower.newest_event_micros:
            ages.add_metric(("behaviour",), (now - follower.newest_event_micros) / MICROS)
        yield ages
        yield GaugeMetricFamily("recency_release", "The number of the release that serves; 0: none.", value=number)


def _cumulative(counts: Sequence[int]) -> list[tuple[str, float]]:
    """Prometheus's buckets: each holds what the smaller ones hold too."""
    bounds = [*(str(bound) for bound in BUCKETS), "+Inf"]
    return list(zip(bounds, (float(total) for total in accumulate(counts)), strict=True))


def metrics_text(collector: Collector) -> bytes:
    """The exposition of one gateway; the process's own numbers come with it."""
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)
    return generate_latest(registry)
