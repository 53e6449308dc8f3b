"""The release's two pictures. The same numbers give the same bytes: no time stamp, no version is written into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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


def _figure() -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=110, metadata={"Software": None})
