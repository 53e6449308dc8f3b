"""The staleness curve as a picture: NDCG@10 against how late each channel is, on one panel.

`python -m recency_bench.staleness_plot staleness.json staleness.png` draws it again from what the bench wrote.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from recency_bench.staleness import Point, StalenessResult

# Where "not late at all" stands on an axis of logarithms.
_LIVE_SECONDS = 0.15
_COLOURS = {"behaviour": "#c8442f", "catalogue": "#3b7dbd", "item learner": "#2f8f5b", "releases": "#7a5aa6"}
_NAMES = {
    "behaviour": "behaviour",
    "catalogue": "catalogue (new items)",
    "item learner": "item learner",
    "releases": "releases",
}
_TICKS = ((_LIVE_SECONDS, "live"), (1, "1 s"), (60, "1 min"), (600, "10 min"), (3_600, "1 h"), (86_400, "1 day"))
_WEEK_SECONDS = 604_800.0
# Labels at the ends of lines keep this share of the axis's height between them.
_APART = 0.075


def plot_staleness(result: StalenessResult, path: Path) -> None:
    """Draws it, 1,600 pixels wide: readable at half of that. Bars are 95 % intervals of the difference to everything live,
    over the same cases."""
    figure = Figure(figsize=(8.0, 4.6), dpi=200)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    live = result.live["all"].mean
    axes.axhline(live, color="#999999", linewidth=0.8, linestyle=(0, (4, 4)), zorder=0)
    ends: list[tuple[str, float, float]] = []
    for number, (channel, colour) in enumerate(_COLOURS.items()):
        points = sorted((p for p in result.points if p.channel == channel), key=lambda point: point.seconds)
        if points:
            ends.append((channel, *_line(axes, points, live, colour, number)))
    _labels(axes, ends)
    last = max((point.seconds for point in result.points), default=1.0)
    ticks = [*_TICKS, *([(_WEEK_SECONDS, "1 week")] if last > _WEEK_SECONDS else [])]
    axes.set_xscale("log")
    axes.set_xticks([seconds for seconds, _ in ticks], [label for _, label in ticks])
    axes.minorticks_off()
    axes.set_xlim(_LIVE_SECONDS * 0.7, last * 400)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("NDCG@10 of the next item, full ranking")
    axes.set_xlabel("how late one channel is, the others live")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})


def _line(axes: Any, points: Sequence[Point], live: float, colour: str, number: int) -> tuple[float, float]:
    """One channel's line; answers where it ends."""
    # A little apart, so that bars at the same delay do not hide each other.
    shift = 1.0 + 0.12 * (number - 1.5)
    x = [_LIVE_SECONDS, *(point.seconds * shift for point in points)]
    less = [point.less["all"] for point in points]
    y = [live, *(live + one.mean for one in less)]
    down = [0.0, *(max(0.0, one.mean - one.low) for one in less)]
    up = [0.0, *(max(0.0, one.high - one.mean) for one in less)]
    axes.errorbar(x, y, yerr=[down, up], color=colour, marker="o", markersize=4, linewidth=1.8, elinewidth=1, capsize=2)
    return x[-1], y[-1]


def _labels(axes: Any, ends: Sequence[tuple[str, float, float]]) -> None:
    """The channels' names where their lines end, pushed apart where they would lie on each other."""
    apart = _APART * max((y for _, _, y in ends), default=1.0)
    placed = -1.0
    for channel, x, y in sorted(ends, key=lambda end: end[2]):
        placed = max(y, placed + apart) if placed >= 0 else y
        axes.annotate(
            _NAMES[channel],
            (x, y),
            xytext=(x * 1.6, placed),
            color=_COLOURS[channel],
            fontweight="bold",
            va="center",
            annotation_clip=False,
        )


def write_result(result: StalenessResult, path: Path) -> None:
    """Writes the figures, so that the picture can be drawn again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result.to_dict(), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    """Draws a result that was written before."""
    source, target = (Path(argument) for argument in sys.argv[1:3])
    plot_staleness(StalenessResult.from_dict(json.loads(source.read_text(encoding="utf-8"))), target)


if __name__ == "__main__":
    main()
