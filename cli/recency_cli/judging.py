"""`recency export evaluate`: a published release before the gate again, moved nowhere."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recency_cli.context import Json, now_micros, opened_store, settings_of

if TYPE_CHECKING:
    from recency_export.gate import Verdict
    from recency_export.judgement import Check

_WORDS = {True: "passed", False: "refused", None: "not judged"}


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("evaluate", epilog="Example: recency export evaluate 2 --against 1")(evaluate)


def evaluate(
    context: typer.Context,
    release: Annotated[int, typer.Argument(help="Its number; 0 is the active one.")] = 0,
    against: Annotated[int, typer.Option(min=0, help="Compare with this release (default: its parent).")] = 0,
    json: Json = False,
) -> None:
    """Judge a published release by the gate's checks, on the log as it is now, through every Triton that has it ready.
    Nothing is activated or rejected. Exit code 1 where there are reasons against it."""
    from recency_cli.errors import NotReady
    from recency_cli.screen import console, print_json, table
    from recency_export.gate import judge
    from recency_export.lineage import release_folder
    from recency_export.log_evidence import evidence_from_log
    from recency_inference.wanted import ready_lease

    settings = settings_of(context)
    with opened_store(settings) as store:
        record = store.get_release(release) if release else store.active_release()
        if record is None:
            raise NotReady("no release is active yet; make the first one with: recency export bootstrap")
        other = against or record.parent
        parent = store.get_release(other) if other else None
        ready = ready_lease(record.release, "")
        targets = tuple(sorted(lease.name.removeprefix(ready) for lease in store.list_leases(ready, now_micros())))
        evidence = evidence_from_log(
            store,
            record.release,
            release_folder(record, settings.releases),
            release_folder(parent, settings.releases) if parent is not None else None,
            targets,
        )
        verdict = judge(evidence, settings.export().gate)
    if json:
        print_json(_facts(verdict) | {"release": record.release, "against": other, "state": record.state.value})
    else:
        title = f"release {record.release} ({record.state.value})" + (f" against release {other}" if other else "")
        rows = [
            (check.name, _WORDS[check.passed], _number(check.value), _number(check.limit), check.note)
            for check in verdict.checks
        ]
        columns = ("check", "verdict", "value", "limit", "what it saw")
        console().print(table(title, columns, rows, right=("value", "limit")))
        said = "nothing speaks against it" if verdict.passed else f"{len(verdict.reasons)} reasons against it"
        console().print(f"{said}; what each check means and what to do: docs/gate.md")
    if not verdict.passed:
        raise typer.Exit(1)


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else ""


def _facts(verdict: Verdict) -> dict[str, Any]:
    return {
        "passed": verdict.passed,
        "reasons": list(verdict.reasons),
        "metrics": verdict.metrics,
        "checks": [_check(check) for check in verdict.checks],
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "verdict": _WORDS[check.passed],
        "value": check.value if math.isfinite(check.value) else None,
        "limit": check.limit if math.isfinite(check.limit) else None,
        "note": check.note,
    }
