"""One attached stack that all faults of the agent and its Triton happen to, one after the other: it must outlive them; and
a store with a release and newer feedback, which exporters are killed over in copies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attached_stack import AttachedStack
from exporter_nursery import NOW_MICROS, Nursery, manifest_of, opened, small_config
from small_shop import export_word_average, make_event, make_item, shop

import recency_export.text_encoder as text_encoder_module
from recency_export.pipeline import bootstrap
from recency_export.progress import Silent
from recency_store.records import NewItem


@pytest.fixture(scope="session")
def attached(tmp_path_factory: pytest.TempPathFactory, local_triton: None) -> Iterator[AttachedStack]:
    configured = os.environ.get("RECENCY_TRITON_ENVIRONMENT")
    with AttachedStack.running(tmp_path_factory.mktemp("attached"), Path(configured) if configured else None) as stack:
        yield stack


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with 200 items, release 1, and feedback that came after it, a new item's among it."""
    root = tmp_path_factory.mktemp("exporter") / "base"
    root.mkdir()
    encoder = root.parent / "encoder"
    encoder.mkdir()
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        (encoder / name).write_text("read by nobody: the text encoder is made in another way")
    source = shop(users=60)
    with opened(root) as store, pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_encoder_module, "export_encoder", export_word_average)
        items = [NewItem(item.item()) for item in source.list_items(1_000)]
        store.upsert_items(items, NOW_MICROS)
        store.append([logged.event() for logged in source.scan_log()])
        bootstrap(store, root / "releases", small_config(root), Silent(), lambda: NOW_MICROS)
        shutil.rmtree(root / "workspace")
        store.upsert_items([make_item(200)], NOW_MICROS)
        for number in range(120):
            item = 200 if number % 10 == 0 else number * 7 % 200
            micros = NOW_MICROS - 1_000_000 * (200 - number)
            store.append([make_event(10_000 + number, f"user-{number % 12}", f"item-{item:03}", micros)])
    return root


@pytest.fixture(scope="session")
def copied(base: Path) -> Callable[[str], Path]:
    """A copy of the base: another store, the same files of release 1 by hard links."""

    def copy(name: str) -> Path:
        root = base.parent / name
        shutil.copytree(base / "releases", root / "releases", copy_function=os.link)
        shutil.copyfile(base / "store.db", root / "store.db")
        return root

    return copy


@pytest.fixture(scope="session")
def unkilled(nursery: Nursery, copied: Callable[[str], Path]) -> tuple[list[str], str]:
    """The operations of a run that nothing happens to, and its manifest."""
    root = copied("unkilled")
    ran = nursery.run(root)
    assert ran["status"] == 0, ran["errors"]
    return ran["operations"], manifest_of(root)
