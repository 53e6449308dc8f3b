"""`recency export tensorrt`: plans for a GPU out of a release's graphs, or what is missing to make them."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from recency_cli.context import Json, now_micros, opened_store, settings_of


def add_to(app: typer.Typer) -> None:
    """Adds the command to the group `export`."""
    app.command("tensorrt", epilog="Example: recency export tensorrt     (on a machine with a GPU and TensorRT)")(
        tensorrt
    )


def tensorrt(
    context: typer.Context,
    release: Annotated[int | None, typer.Option(min=1, help="Of which release (default: the active one).")] = None,
    precision: Annotated[
        Literal["fp16", "fp32"], typer.Option(help="fp16 falls back to fp32 where its answers are too far off.")
    ] = "fp16",
    json: Json = False,
) -> None:
    """Build TensorRT plans out of a release's ONNX graphs, compare them with onnxruntime, and register a candidate that
    holds them beside the graphs. Where TensorRT or a GPU is missing, it says what is, and ends with exit code 4."""
    from recency_cli.errors import NotReady
    from recency_cli.screen import console, print_json
    from recency_export.to_tensorrt import check_ready, missing, publish_plans

    settings = settings_of(context)
    check_ready(missing())
    from recency_export.tensorrt_engine import build_plan, run_plan

    with opened_store(settings) as store:
        record = store.get_release(release) if release else store.active_release()
        if record is None:
            raise NotReady("no release is active; make one first: recency export bootstrap")
        made, found = publish_plans(
            store,
            settings.releases,
            record,
            settings.data / "tensorrt" / str(record.release),
            precision,
            now_micros(),
            build_plan,
            run_plan,
            settings.releases_url,
        )
    if json:
        print_json({"release": made.release, "state": made.state.value, "url": made.url, "models": found})
        return
    for model, about in found.items():
        console().print(f"{model}: {about['precision']}, off by {about['apart']:.2g}", *about["refused"])
    console().print(
        f"release {made.release} is {made.state.value} in {made.url}; with triton.model_repository set to "
        f"deploy/model_repository/plan, serve it: recency release activate {made.release}"
    )
