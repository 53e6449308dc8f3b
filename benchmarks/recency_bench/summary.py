"""Latencies in one line: an HDR histogram, so that a long run costs no memory and a tail is not averaged away."""

from __future__ import annotations

from dataclasses import dataclass

from hdrh.histogram import HdrHistogram

_HIGHEST_MICROS = 60_000_000
_SIGNIFICANT_DIGITS = 3


class Latencies:
    """Collects durations in seconds."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, _HIGHEST_MICROS, _SIGNIFICANT_DIGITS)

    def record(self, seconds: float) -> None:
        """Adds one duration; what is over a minute counts as a minute."""
        self._histogram.record_value(max(1, min(_HIGHEST_MICROS, round(seconds * 1e6))))

    def summary(self) -> Summary:
        """Count and percentiles so far."""
        at = self._histogram.get_value_at_percentile
        return Summary(
            count=self._histogram.get_total_count(),
            p50_ms=at(50) / 1e3,
            p90_ms=at(90) / 1e3,
            p99_ms=at(99) / 1e3,
            p999_ms=at(99.9) / 1e3,
            max_ms=self._histogram.get_max_value() / 1e3,
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """Percentiles in milliseconds."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
