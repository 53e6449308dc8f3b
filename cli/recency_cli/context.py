"""What a command starts from: the options given before it, the settings, the store, the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from recency_cli.config import Settings
    from recency_store.sqlite import SqliteStore

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@dataclass(frozen=True, slots=True)
class Options:
    """Options that stand before the command."""

    config: Path | None = None
    data: Path | None = None


def settings_of(context: typer.Context, changes: Mapping[str, Any] | None = None) -> Settings:
    """The effective settings, with the command's own options over them."""
    from recency_cli.config import load

    options = context.obj if isinstance(context.obj, Options) else Options()
    return load(options.config).changed({"data.path": options.data, **(changes or {})}, "option")


def now_micros() -> int:
    """The wall clock; everything below the command line is handed it."""
    return time.time_ns() // 1_000


@contextmanager
def opened_store(settings: Settings) -> Iterator[SqliteStore]:
    """The store of the settings, made where there is none."""
    from recency_store.sqlite import open_sqlite

    settings.store.parent.mkdir(parents=True, exist_ok=True)
    store = open_sqlite(settings.store)
    try:
        yield store
    finally:
        store.close()
