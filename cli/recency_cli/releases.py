"""`recency release list|show`: the releases of the store, whether a gateway runs or not."""

from __future__ import annotations

import datetime as dt
import json as json_text
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recency_cli import moving
from recency_cli.context import Json, now_micros, opened_store, settings_of

if TYPE_CHECKING:
    from recency_store.records import ReleaseRecord

app = typer.Typer(no_args_is_help=True, help="The releases: what was published, what serves, and why one does not.")
moving.add_to(app)


@app.command("list", epilog="Example: recency release list --json")
def list_releases(context: typer.Context, json: Json = False) -> None:
    """List the releases, newest first."""
    from recency_cli.screen import console, print_json, table

    with opened_store(settings_of(context)) as store:
        records = store.list_releases()
    if json:
        print_json([_facts(record) for record in records])
        return
    if not records:
        console().print("no release yet; make the first one with: recency export bootstrap")
        return
    rows = []
    for record in records:
        facts = _facts(record)
        ndcg = facts["metrics"].get("validation_ndcg_at_10")
        rows.append(
            (record.release, _state(record), facts["created"], facts["items"], facts["events"],
             f"{ndcg:.4f}" if ndcg is not None else "", _newest(facts["metrics"]), record.reason)
        )  # fmt: skip
    columns = (
        "release",
        "state",
        "published",
        "items",
        "events",
        "NDCG@10 (validation)",
        "newest (parent's)",
        "reason",
    )
    console().print(table("", columns, rows, right=columns[3:-1]))


@app.command("show", epilog="Example: recency release show 1")
def show(
    context: typer.Context,
    release: Annotated[int, typer.Argument(help="Its number; 0 is the active one.")] = 0,
    check: Annotated[bool, typer.Option("--check", help="Also check every file against its checksum.")] = False,
    json: Json = False,
) -> None:
    """Show one release: state, lineage, metrics, which gateways serve or refuse it and what comes of it there and, with
    --check, whether its files are what they were."""

    from recency_cli.errors import NotReady
    from recency_cli.lineage_shown import beside_parent, lineage
    from recency_cli.screen import console, print_json, table
    from recency_cli.whereabouts import use_at, use_json, use_rows, whereabouts
    from recency_inference.artifacts import ReleaseCache, local_folder
    from recency_store.manifest import verify

    settings = settings_of(context)
    with opened_store(settings) as store:
        record = store.get_release(release) if release else store.active_release()
        where = whereabouts(store, record.release, now_micros()) if record is not None else {}
    if record is None:
        raise NotReady("no release is active yet; make the first one with: recency export bootstrap")
    manifest = json_text.loads(record.manifest_json or "{}")
    facts = {**_facts(record), **lineage(manifest, local_folder(record.url), settings.data), **where}
    # Asked only where a gateway has to do with it: nobody waits for one that does not run.
    asked = bool(where["served_by"] or where["refused_by"])
    use = use_at(settings["gateway.grpc_address"], record.release) if asked else None
    if check:
        with ReleaseCache(settings.fetched).hold(record.url) as folder:
            verify(folder)
        facts["files"] = "all as the manifest says"
    if json:
        print_json({**facts, "use": use_json(use)})
        return
    metrics = facts.pop("metrics")
    facts |= {
        "pictures": "\n".join(facts["pictures"]),
        "served_by": ", ".join(where["served_by"]),
        "ready_at": ", ".join(where["ready_at"]),
        "refused_by": "; ".join(f"{who}: {why}" for who, why in where["refused_by"].items()),
    }
    console().print(table(f"release {record.release}", ("", ""), facts.items()))
    if use is not None:
        console().print(table(f"at gateway {use.gateway}", ("", ""), use_rows(use)))
    # An item release has its weights' figures: they were measured beside another release's parent.
    pairs = beside_parent(metrics) if manifest.get("kind") != "item" else []
    if pairs:
        compared = [(name, f"{ours:.4f}", f"{theirs:.4f}", f"{ours - theirs:+.4f}") for name, ours, theirs in pairs]
        columns = ("metric", f"release {record.release}", f"release {record.parent}", "change")
        console().print(table("beside its parent", columns, compared, right=columns[1:]))
    if metrics:
        told = {name for name, _, _ in pairs}
        metrics = {name: value for name, value in metrics.items() if "_parent_" not in name and name not in told}
        rows = [(name, f"{value:.4f}") for name, value in sorted(metrics.items())]
        console().print(table("metrics", ("metric", "value"), rows, right=("value",)))


def _newest(metrics: dict[str, float]) -> str:
    """NDCG@10 on the newest events, and the parent's on the same."""
    ours, theirs = metrics.get("newest_ndcg_at_10"), metrics.get("newest_parent_ndcg_at_10")
    return f"{ours:.4f} ({theirs:.4f})" if ours is not None and theirs is not None else ""


def _state(record: ReleaseRecord) -> str:
    return record.state.value + (f" {record.canary_fraction:.0%}" if record.canary_fraction else "")


def _facts(record: ReleaseRecord) -> dict[str, Any]:
    manifest = json_text.loads(record.manifest_json or "{}")
    created = dt.datetime.fromtimestamp(record.create_micros / 1e6, dt.UTC)
    through = manifest.get("trained_through_micros")
    return {
        "release": record.release,
        "state": record.state.value,
        "canary_fraction": record.canary_fraction,
        "reason": record.reason,
        "parent": record.parent,
        "created": f"{created:%Y-%m-%d %H:%M:%S}Z",
        "trained_through": f"{dt.datetime.fromtimestamp(through / 1e6, dt.UTC):%Y-%m-%d %H:%M:%S}Z" if through else "",
        "items": manifest.get("item_count"),
        "events": manifest.get("event_count"),
        "models": ", ".join(f"{name} {number}" for name, number in manifest.get("model_versions", {}).items()),
        "url": record.url,
        "metrics": manifest.get("metrics", {}),
    }
