"""The stack of `recency bench freshness --swaps`: a copy of the store and variants of the active release, in a folder of its
own, so that nothing of the user's is touched."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recency_cli.context import now_micros, opened_store

if TYPE_CHECKING:
    from recency_bench.swaps import SwapResult
    from recency_cli.config import Settings
    from recency_store.protocol import Store


def run_swaps(settings: Settings, count: int, rate: float | None, seconds: float, as_json: bool) -> None:
    """Runs the bench and prints what it found."""
    from recency_cli.bench_tables import swap_tables
    from recency_cli.screen import bars, console, print_json

    # Beside the releases, so that what is the same can be linked.
    settings.data.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".bench-swaps-", dir=settings.data) as folder,
        bars(shown=not as_json) as bar,
    ):

        def advance(what: str, done: int) -> None:
            bar.advanced("swaps", done, count, "" if done else what)

        bar.started("swaps")
        result = asyncio.run(_run(settings, Path(folder), count, rate, seconds, advance))
    if as_json:
        print_json(result.to_dict())
        return
    for table in swap_tables(result):
        console().print(table)


async def _run(
    settings: Settings, folder: Path, count: int, rate: float | None, seconds: float, advance: object
) -> SwapResult:
    from recency_bench.load import sample_users
    from recency_bench.swaps import swaps
    from recency_bench.variants import Variants
    from recency_cli.errors import NotReady
    from recency_cli.schema import Place
    from recency_cli.screen import console
    from recency_cli.stack import running_stack, wait_until_serving
    from recency_cli.up import options_of

    _copy_store(settings, folder / "store.db")
    changes = {
        "data.path": folder,
        "data.store": folder / "store.db",
        "data.releases": Place(folder / "releases"),
        # What it learns would be in the slates, and the probes know only what the releases give.
        "learner.enabled": False,
    }
    mine = settings.changed(changes, "bench")
    # Over whatever a file or the user's environment says: this stack must never work on the user's own data.
    variables = {
        "RECENCY_DATA_STORE": str(mine.store.resolve()),
        "RECENCY_DATA_RELEASES": str(mine.releases.resolve()),
    }
    mine.releases.mkdir()
    with opened_store(mine) as store:
        active = store.active_release()
        if active is None:
            raise NotReady("no release is active; make the first one with: recency export bootstrap")
        with _base_folder(settings, active.url) as base:
            variants = Variants(base, mine.releases, _always_shown(store), store.last_sequence())
        say = console(stderr=True).print
        async with running_stack(mine, options_of(mine), say, free_ports=True, variables=variables) as addresses:
            await wait_until_serving(addresses.gateway)
            return await swaps(
                store,
                variants,
                mine.releases,
                addresses.gateway,
                addresses.triton,
                sample_users(store),
                count=count,
                rate=rate,
                seconds=seconds,
                now_micros=now_micros,
                advance=advance,  # type: ignore[arg-type]
            )


def _copy_store(settings: Settings, target: Path) -> None:
    from recency_cli.errors import NotReady

    if not settings.store.is_file():
        raise NotReady(f"{settings.store}: there is no store; import data and make a release first (recency up)")
    with closing(sqlite3.connect(settings.store)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)


@contextmanager
def _base_folder(settings: Settings, url: str) -> Iterator[Path]:
    from recency_inference.artifacts import ReleaseCache

    with ReleaseCache(settings.fetched).hold(url) as folder:
        yield folder


def _always_shown(store: Store) -> list[str]:
    """The items that any answer may hold at any time."""
    shown: list[str] = []
    after = ""
    while page := store.list_items(500, after):
        after = page[-1].item_id
        for stored in page:
            item = stored.item()
            if stored.visible and not item.HasField("available_from") and not item.HasField("available_until"):
                shown.append(stored.item_id)
    return shown
