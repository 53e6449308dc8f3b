"""`recency bench ope`: what a policy would earn, told from another one's slates."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recency_cli.context import Json, opened_store, settings_of

if TYPE_CHECKING:
    from recency_bench.open_bandit import Campaign
    from recency_export.judgement import Interval


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("ope", epilog="Example: recency bench ope\n\nExample: recency bench ope --release 3")(ope)


def ope(
    context: typer.Context,
    release: Annotated[
        int | None,
        typer.Option(min=0, help="Instead: this release's value (0: the active one's) on the slates in the store."),
    ] = None,
    path: Annotated[Path | None, typer.Option(help="Open Bandit's folder (default: .cache/open-bandit).")] = None,
    json: Json = False,
) -> None:
    """Off-policy estimates (IPS, SNIPS, doubly robust) held to the truth: on the Open Bandit Dataset the value of Thompson
    sampling is estimated from random slates, beside what its own slates earned. With --release, the same estimators on the
    slates that this store has logged with their propensities (ask with `exploration` to have some)."""
    if release is None:
        _open_bandit(context, path, json)
    else:
        _release(context, release, json)


def _open_bandit(context: typer.Context, path: Path | None, json: bool) -> None:
    from recency_bench.open_bandit import open_bandit
    from recency_cli.errors import NotReady
    from recency_cli.exporting import data_folder
    from recency_cli.screen import console, print_json, table

    folder = path or data_folder("open-bandit")
    try:
        campaigns = open_bandit(folder, settings_of(context).export().gate.sampling)
    except FileNotFoundError as error:
        raise NotReady(f"{error.filename}: not there; run `make setup`, or name the folder with --path") from error
    if json:
        print_json({"campaigns": [dataclasses.asdict(one) for one in campaigns]})
        return
    rows = [row for one in campaigns for row in _rows(one)]
    columns = ("campaign", "estimator", "clicks an item shown", "95 % interval", "effective", "within the truth's")
    console().print(table("Thompson sampling's value, from random slates", columns, rows, right=columns[2:5]))
    for one in campaigns:
        console().print(
            f"{one.name}: {one.clicks} clicks on {one.shown:,} items shown at random; an unbiased estimate as spread as DR "
            f"is within the truth's interval {100 * one.chance:.0f}% of the time"
        )


def _rows(one: Campaign) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (one.name, "its own slates", f"{one.on_policy.value:.4f}", _between(one.on_policy), "", "")
    ]
    for name, estimate in one.estimates.items():
        lands = "yes" if name in one.lands else "no"
        value = f"{estimate.interval.value:.4f}"
        rows.append(("", name, value, _between(estimate.interval), f"{estimate.effective:,.0f}", lands))
    return rows


def _between(interval: Interval) -> str:
    return f"{interval.low:.4f} – {interval.high:.4f}"


def _release(context: typer.Context, number: int, json: bool) -> None:
    from recency_cli.errors import NotReady
    from recency_cli.screen import console, print_json
    from recency_export.lineage import release_folder
    from recency_export.log_evidence import evidence_from_log
    from recency_export.off_policy import check_off_policy

    settings = settings_of(context)
    with opened_store(settings) as store:
        record = store.get_release(number) if number else store.active_release()
        if record is None:
            raise NotReady("no release is active yet; make the first one with: recency export bootstrap")
        parent = store.get_release(record.parent) if record.parent else None
        folders = [release_folder(one, settings.releases) if one is not None else None for one in (record, parent)]
        assert folders[0] is not None
        evidence = evidence_from_log(store, record.release, folders[0], folders[1], ())
    gate = settings.export().gate
    check = check_off_policy(evidence.logged, gate.off_policy, gate.sampling)
    if json:
        print_json({"release": record.release, "parent": record.parent, "note": check.note, "metrics": check.metrics})
        return
    for name, value in check.metrics.items():
        console().print(f"{name.removeprefix('off_policy_'):>24}  {value:.5f}")
    console().print(f"release {record.release}: {check.note}")
