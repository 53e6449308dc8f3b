"""`recency export run`: from the feedback since the last release to a new one that serves."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recency_cli.context import Json, now_micros, opened_store, settings_of

if TYPE_CHECKING:
    from recency_export.run_work import RunOutcome


class Depth(enum.StrEnum):
    """What a release changes."""

    FULL = "full"
    ITEM = "item"
    AUTO = "auto"


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("run", epilog="Example: recency export run --depth full")(run)


def run(
    context: typer.Context,
    depth: Annotated[
        Depth,
        typer.Option(
            help="full: weights too; item: the item learner's vectors alone, in seconds; "
            "auto: full from export.run.full_after_events new events on."
        ),
    ] = Depth.FULL,
    json: Json = False,
) -> None:
    """Make a release of what has happened since the last one, judge it beside that one, and serve it if it passes.
    Killed anywhere, the next run goes on from there."""
    from recency_cli.exporting import quieten
    from recency_cli.screen import bars, console, print_json
    from recency_export.run import run_export

    settings = settings_of(context)
    quieten()
    with opened_store(settings) as store, bars(shown=not json) as progress:
        outcome = run_export(
            store,
            settings.releases,
            settings.export(),
            progress,
            now_micros,
            depth=depth.value,
            runs=settings.data / "runs",
        )
    if json:
        print_json(_facts(outcome))
    elif outcome.record is None:
        console().print("nothing has happened since the active release was trained")
    else:
        _show(outcome)
    if outcome.record is not None and outcome.record.state == "REJECTED":
        raise typer.Exit(1)


def _facts(outcome: RunOutcome) -> dict[str, Any]:
    record = outcome.record
    if record is None:
        return {"release": None, "state": "NOTHING_NEW", "reason": "nothing has happened since the last release"}
    return {
        "release": record.release,
        "state": record.state.value,
        "reason": record.reason,
        "url": record.url,
        "parent": record.parent,
        "stages": {time.stage: 0.0 if time.skipped else round(time.seconds, 3) for time in outcome.stages},
        "peak_bytes": max((time.peak_bytes for time in outcome.stages), default=0),
        "served_after_seconds": outcome.served_after_seconds,
        "metrics": outcome.metrics,
    }


def _show(outcome: RunOutcome) -> None:
    from recency_cli.screen import console, table

    record = outcome.record
    assert record is not None
    rows = [
        (time.stage, "there already" if time.skipped else f"{time.seconds:.1f}", f"{time.peak_bytes / 1e6:.0f}")
        for time in outcome.stages
    ]
    total = sum(time.seconds for time in outcome.stages if not time.skipped)
    rows.append(("all", f"{total:.1f}", ""))
    print_ = console().print
    print_(table("stages", ("stage", "seconds", "peak MB"), rows, right=("seconds", "peak MB")))
    said = f"release {record.release} is {record.state.value}"
    if record.reason:
        said += f": {record.reason}"
    elif outcome.served_after_seconds is not None:
        said += f"; served after {outcome.served_after_seconds:.1f} s"
    print_(f"{said}; see: recency release show {record.release}")
