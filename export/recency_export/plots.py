"""A release's pictures. The same numbers give the same bytes: no time stamp, no version is written into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recency_export.judgement import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_training(path: Path, loss: Sequence[float], checked: Sequence[int], ndcg: Sequence[float]) -> None:
    """Loss of each epoch, and the validation beside it."""
    figure = _figure()
    left = figure.add_subplot()
    left.plot(range(1, len(loss) + 1), loss, color="tab:blue", label="training loss")
    left.set_xlabel("epoch")
    left.set_ylabel("cross-entropy")
    right = left.twinx()
    right.plot(checked, ndcg, color="tab:orange", marker="o", label="validation NDCG@10 (retrieval alone)")
    right.set_ylabel("NDCG@10")
    right.set_ylim(bottom=0)
    left.set_title("Training")
    figure.legend(loc="center right", bbox_to_anchor=(0.88, 0.5), fontsize="small")
    _save(figure, path)


def plot_metrics(path: Path, title: str, bars: Mapping[str, Mapping[str, float]]) -> None:
    """Metrics (NDCG@10, …) by model, as groups of bars."""
    figure = _figure()
    axes = figure.add_subplot()
    names = list(next(iter(bars.values()), {}))
    width = 0.8 / max(1, len(bars))
    for number, (model, values) in enumerate(bars.items()):
        places = [at + number * width for at in range(len(names))]
        drawn = axes.bar(places, [values[name] for name in names], width, label=model)
        axes.bar_label(drawn, fmt="%.3f", fontsize="x-small")
    axes.set_xticks([at + 0.4 - width / 2 for at in range(len(names))], names)
    axes.set_title(title)
    if bars:
        axes.legend(fontsize="small")
    _save(figure, path)


@dataclass(frozen=True, slots=True)
class Pair:
    """One metric under both releases, and the paired difference with its interval."""

    label: str
    candidate: float
    parent: float
    change: Interval


def plot_comparison(path: Path, title: str, pairs: Sequence[Pair]) -> None:
    """NDCG@10 of candidate and parent on the left; on the right what changed, and how sure that is."""
    figure = _figure()
    left, right = figure.subplots(1, 2)
    places = range(len(pairs))
    for offset, name in ((-0.2, "parent"), (0.2, "candidate")):
        values = [getattr(pair, name) for pair in pairs]
        drawn = left.bar([place + offset for place in places], values, 0.38, label=name)
        left.bar_label(drawn, fmt="%.3f", fontsize="x-small")
    left.set_ylabel("NDCG@10")
    for place, pair in enumerate(pairs):
        change = pair.change
        reach = [[max(0.0, change.value - change.low)], [max(0.0, change.high - change.value)]]
        right.errorbar([place], [change.value], yerr=reach, fmt="o", capsize=5, color="tab:green")
    right.axhline(0.0, color="grey", linewidth=0.8)
    right.set_ylabel("change against the parent (95 % interval)")
    right.set_xlim(-0.6, max(len(pairs) - 0.4, 0.6))
    for axes in (left, right):
        axes.set_xticks(list(places), [pair.label for pair in pairs])
    if pairs:
        left.legend(fontsize="small")
    figure.suptitle(title)
    _save(figure, path)


def _figure() -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=110, metadata={"Software": None})
