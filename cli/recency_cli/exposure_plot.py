"""The exposure report as a picture: shares by group on the left, how unequal items are on the right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recency_cli.errors import NotReady

if TYPE_CHECKING:
    from recency_server.exposure import ExposureReport

_MOST_GROUPS = 12
_BARS = (("catalogue_share", "of catalogue", "#b8b8b8"), ("exposure_share", "of exposure", "#3b7dbd"),
         ("click_share", "of clicks", "#2f8f5b"))  # fmt: skip


def plot_exposure(report: ExposureReport, path: Path) -> None:
    """Draws it, 1,600 pixels wide."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise NotReady(f"{error.name} is not installed; `pip install recency-server[bench]`") from error
    figure = Figure(figsize=(8.0, 4.4), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    groups = report.groups[:_MOST_GROUPS][::-1]
    for number, (field, label, colour) in enumerate(_BARS):
        at = [place + 0.27 * (1 - number) for place in range(len(groups))]
        left.barh(at, [100 * getattr(group, field) for group in groups], 0.27, label=label, color=colour)
    left.set_yticks(range(len(groups)), [group.name[:24] for group in groups], fontsize="small")
    left.set_xlabel("%")
    left.set_title(f"by {report.by}", fontsize="medium")
    left.legend(fontsize="small", loc="lower right")
    right.plot([0, 100], [0, 100], color="#b8b8b8", linewidth=0.8, linestyle="--")
    right.plot(range(len(report.lorenz)), [100 * share for share in report.lorenz], color="#c8442f")
    right.set_xlabel("% of items, the least shown first")
    right.set_ylabel("% of exposure")
    right.set_title(f"Gini {report.gini:.2f}, top 1 % of items {report.top_percent_share:.0%}", fontsize="medium")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Software": None})
