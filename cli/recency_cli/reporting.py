"""`recency report exposure`: who is shown how much."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recency_cli.context import Json, now_micros, opened_store, settings_of

if TYPE_CHECKING:
    from recency_server.exposure import ExposureReport

app = typer.Typer(no_args_is_help=True, help="Reports over what was shown and what became of it.")

_SPAN = re.compile(r"(\d+(?:\.\d+)?)([dhm])")
_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0}


class Counted(StrEnum):
    """What counts as shown."""

    AUTO = "auto"
    IMPRESSIONS = "impressions"
    SLATES = "slates"


@app.callback()
def group() -> None:
    """A group even while it has one command."""


@app.command("exposure", epilog="Example: recency report exposure --by provider --since 7d --plot exposure.png")
def exposure(
    context: typer.Context,
    by: Annotated[
        str, typer.Option(help="The groups: provider, categories, or any attribute of the items.")
    ] = "provider",
    since: Annotated[str, typer.Option(help="From when: a span back such as 7d, 12h, 30m, or an ISO time.")] = "7d",
    until: Annotated[str, typer.Option(help="Until when: the same; default: now.")] = "",
    shown: Annotated[
        Counted,
        typer.Option(
            help="What counts as shown: IMPRESSION events, slates as answered, or the first where there are any."
        ),
    ] = Counted.AUTO,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many groups the table has.")] = 20,
    plot: Annotated[Path | None, typer.Option(help="Also draw it, as a PNG in this file.")] = None,
    json: Json = False,
) -> None:
    """Report how exposure is shared out over a time: by group against its share of the catalogue and of the clicks, how
    unequal it is over items, and what new items got. An item at place p counts 1 / log2(1 + p)."""
    from recency_cli.screen import console, print_json
    from recency_server.exposure import exposure_report

    settings = settings_of(context)
    now = now_micros()
    impressions = None if shown is Counted.AUTO else shown is Counted.IMPRESSIONS
    with opened_store(settings) as store:
        report = exposure_report(
            store,
            by,
            _time(since, now),
            _time(until, now) if until else now,
            settings["policy.fresh_days"],
            impressions,
        )
    if plot is not None:
        from recency_cli.exposure_plot import plot_exposure

        plot_exposure(report, plot)
    if json:
        print_json(asdict(report))
        return
    screen = console()
    _tell(report, limit)
    if plot is not None:
        screen.print(f"drawn: {plot}")


def _tell(report: ExposureReport, limit: int) -> None:
    from recency_cli.screen import console, table

    screen = console()
    if not report.lists:
        screen.print("nothing was shown in that time, as far as the store knows")
        return
    what = "impressions" if report.impressions else "slates as answered"
    rows = [
        (g.name, f"{g.items:.1f}".removesuffix(".0"), f"{g.catalogue_share:.1%}", f"{g.exposure_share:.1%}",
         f"{g.click_share:.1%}", f"{g.against_catalogue:.2f}", "" if g.against_merit is None else f"{g.against_merit:.2f}")
        for g in report.groups[:limit]
    ]  # fmt: skip
    columns = (
        report.by,
        "items",
        "of catalogue",
        "of exposure",
        "of clicks",
        "exposure : catalogue",
        "exposure : clicks",
    )
    screen.print(table(f"exposure over {report.lists:,} {what}", columns, rows, right=columns[1:]))
    screen.print(
        f"{report.items:,} items: Gini {report.gini:.3f} · top 1 % of them {report.top_percent_share:.1%} of exposure · "
        f"{report.never_shown_share:.1%} never shown\n"
        f"new items: {report.young_share:.1%} of exposure younger than {report.young_days:g} days when shown · "
        f"{report.after_release_share:.1%} newer than the release that answered · {report.clicks:,} clicks or stronger",
        style="dim",
    )


def _time(text: str, now: int) -> int:
    from recency_cli.errors import UsageError

    span = _SPAN.fullmatch(text)
    if span is not None:
        return now - round(float(span[1]) * _SECONDS[span[2]] * 1e6)
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no time; give a span back such as 7d or 12h, or an ISO time") from error
    return round((time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp() * 1e6)
