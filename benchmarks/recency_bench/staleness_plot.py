"""The staleness curve as a picture: NDCG@10 against how late each channel is, on one panel.

`python -m recency_bench.staleness_plot staleness.json staleness.png` draws it again from what the bench wrote.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from recency_bench.staleness import Point, StalenessResult

# Where "not late at all" stands on an axis of logarithms.
_LIVE_SECONDS = 0.15
_COLOURS = {"behaviour": "#c8442f", "catalogue": "#3b7dbd", "item learner": "#2f8f5b", "releases": "#7a5aa6"}
_ALL, _NEW = "all", "items never seen in training"
# Solid: all events. Dashed: events of items that no release had seen at first, where that is what a channel is for.
_LINES = (
    ("behaviour", _ALL),
    ("catalogue", _ALL),
    ("item learner", _ALL),
    ("releases", _ALL),
    ("catalogue", _NEW),
    ("item learner", _NEW),
)
_TICKS = ((_LIVE_SECONDS, "live"), (1, "1 s"), (60, "1 min"), (600, "10 min"), (3_600, "1 h"), (86_400, "1 day"))
_WEEK_SECONDS = 604_800.0
# Labels at the ends of lines keep this share of the axis's height between them.
_APART = 0.06


@dataclass(frozen=True, slots=True)
class _End:
    """Where a line ends, and what is written there."""

    text: str
    colour: str
    x: float
    y: float


def plot_staleness(result: StalenessResult, path: Path) -> None:
    """Draws it, 1,600 pixels wide: readable at half of that. Bars are 95 % intervals of the difference to everything live,
    over the same cases."""
    figure = Figure(figsize=(8.0, 4.8), dpi=200)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    ends: list[_End] = []
    for number, (channel, group) in enumerate(_LINES):
        points = sorted((p for p in result.points if p.channel == channel), key=lambda point: point.seconds)
        if points:
            ends.append(_line(axes, points, group, result.live[group].mean, number))
    last = max((point.seconds for point in result.points), default=1.0)
    ticks = [*_TICKS, *([(_WEEK_SECONDS, "1 week")] if last > _WEEK_SECONDS else [])]
    axes.set_xscale("log")
    axes.set_xticks([seconds for seconds, _ in ticks], [label for _, label in ticks], fontsize=9)
    axes.minorticks_off()
    axes.set_xlim(_LIVE_SECONDS * 0.7, last * 600)
    axes.set_ylim(0.0, 1.15 * axes.get_ylim()[1])
    _labels(axes, ends, last * 3)
    axes.set_ylabel("NDCG@10 of the next item, full ranking")
    axes.set_xlabel("how late one channel is, the others live (dashed: new items only)", loc="left")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})


def _line(axes: Any, points: Sequence[Point], group: str, live: float, number: int) -> _End:
    """One channel's line; answers where it ends."""
    colour, new = _COLOURS[points[0].channel], group == _NEW
    # A little apart, so that bars at the same delay do not hide each other.
    shift = 1.0 + 0.15 * (number - 2.5)
    x = [_LIVE_SECONDS, *(point.seconds * shift for point in points)]
    less = [point.less[group] for point in points]
    y = [live, *(live + one.mean for one in less)]
    down = [0.0, *(max(0.0, one.mean - one.low) for one in less)]
    up = [0.0, *(max(0.0, one.high - one.mean) for one in less)]
    axes.errorbar(
        x, y, yerr=[down, up], color=colour, marker="o", markersize=3 if new else 4, linewidth=1.2 if new else 1.8,
        linestyle="--" if new else "-", elinewidth=0.8, capsize=2,
    )  # fmt: skip
    change = less[-1].mean / live if live else 0.0
    what = f"{points[-1].channel}{', new items' if new else ''}, {points[-1].delay}: {change:+.0%}".replace("-", "−")
    return _End(what, colour, x[-1], y[-1])


def _labels(axes: Any, ends: Sequence[_End], x: float) -> None:
    """What becomes of each channel, in one column behind the lines, pushed apart where labels would lie on each other."""
    apart = _APART * axes.get_ylim()[1]
    placed: list[tuple[float, _End]] = []
    for end in sorted(ends, key=lambda end: end.y):
        placed.append((max(end.y, placed[-1][0] + apart) if placed else end.y, end))
    # Centred on what they tell, so that the pushing is shared.
    for start in range(len(placed)):
        group = [start]
        while group[-1] + 1 < len(placed) and placed[group[-1] + 1][0] - placed[group[-1]][0] <= apart * 1.001:
            group.append(group[-1] + 1)
        if start == 0 or placed[start][0] - placed[start - 1][0] > apart * 1.001:
            lift = sum(placed[i][0] - placed[i][1].y for i in group) / len(group)
            lift = min(lift, placed[start][0] - placed[start - 1][0] - apart) if start else lift
            for i in group:
                placed[i] = (placed[i][0] - lift, placed[i][1])
    for y, end in placed:
        axes.annotate(
            end.text, (end.x, end.y), xytext=(x, y), color=end.colour, fontsize=9, fontweight="bold", va="center",
            arrowprops={"arrowstyle": "-", "color": end.colour, "linewidth": 0.5, "alpha": 0.5, "shrinkB": 3},
        )  # fmt: skip


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
