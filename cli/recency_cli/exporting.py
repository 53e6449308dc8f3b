"""`recency export bootstrap`: from what the store holds to the first release."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recency_cli import accelerating, compacting, judging, learning, running, watching
from recency_cli.context import Json, now_micros, opened_store, settings_of

if TYPE_CHECKING:
    from recency_cli.config import Settings
    from recency_store.records import ReleaseRecord

app = typer.Typer(no_args_is_help=True, help="Train and publish releases.")
running.add_to(app)
judging.add_to(app)
watching.add_to(app)
learning.add_to(app)
accelerating.add_to(app)
compacting.add_to(app)

_CACHE = Path(".cache")


def movielens_folder() -> Path:
    """Where `make setup` put MovieLens."""
    return data_folder("ml-100k")


def data_folder(name: str) -> Path:
    """Where `make setup` put a data set: below the folder that we are in, or beside the environment that we run in."""
    here, beside = _CACHE / name, Path(sys.prefix).parent / _CACHE / name
    return beside if beside.is_dir() and not here.is_dir() else here


@app.command("bootstrap", epilog="Example: recency export bootstrap --movielens")
def bootstrap(
    context: typer.Context,
    movielens: Annotated[bool, typer.Option("--movielens", help="Import MovieLens 100K first.")] = False,
    path: Annotated[Path | None, typer.Option(help="MovieLens' folder (default: where `make setup` put it).")] = None,
    shift: Annotated[
        bool, typer.Option(help="Move MovieLens' times so that its newest rating is now, or keep them as they are.")
    ] = True,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data (export.train.epochs).")] = None,
    seed: Annotated[int | None, typer.Option(help="Same data and seed, same release (export.seed).")] = None,
    json: Json = False,
) -> None:
    """Train on what the store holds, export to ONNX, check, publish and activate. Killed anywhere, it goes on from
    there the next time. Curves and metrics lie beside the release's manifest."""
    from recency_cli.screen import console, print_json

    settings = settings_of(context, {"export.train.epochs": epochs, "export.seed": seed})
    record = bootstrap_with_bars(settings, movielens=movielens, path=path, shift=shift, shown=not json)
    if json:
        print_json({"release": record.release, "state": record.state.value, "url": record.url})
    else:
        console().print(
            f"release {record.release} is {record.state.value} in {record.url}; "
            f"see: recency release show {record.release}"
        )


def bootstrap_with_bars(
    settings: Settings, *, movielens: bool, path: Path | None = None, shift: bool = True, shown: bool = True
) -> ReleaseRecord:
    """Imports MovieLens if asked, then makes a release, with a bar a stage."""
    from recency_cli.screen import bars, console
    from recency_export.movielens import import_movielens
    from recency_export.pipeline import bootstrap as run

    config = settings.export()
    quieten()
    with opened_store(settings) as store, bars(shown=shown) as progress:
        if movielens:
            now = now_micros()
            import_movielens(store, path or movielens_folder(), now, now if shift else None, progress)
        if shown and store.count_items() == 0:
            console(stderr=True).print(
                "the store holds no items: this release embeds and ranks what comes, and has learned nobody's taste; "
                "to learn, import first (recency import items FILE, recency import events FILE)"
            )
        return run(store, settings.releases, config, progress, now_micros, runs=settings.data / "runs")


def quieten() -> None:
    """The ONNX exporter and the model loader tell developers what they do; between progress bars that is noise."""
    from recency_cli.config import debugging

    if debugging():
        return
    warnings.filterwarnings("ignore", category=UserWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
