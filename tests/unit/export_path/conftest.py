"""One bootstrap of the small shop that the tests share."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from small_shop import NOW_MICROS, filled, make_event, make_item, shop, write_encoder

from recency_export.pipeline import bootstrap
from recency_export.progress import Silent
from recency_export.settings import BootstrapConfig, HoldoutSettings, RankerSettings, TrainSettings
from recency_store.memory import MemoryStore
from recency_store.records import ReleaseRecord

# Taken from here by the tests beside it.
__all__ = ["NOW_MICROS", "Bootstrapped", "filled", "make_event", "make_item", "shop", "small_config"]


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder with a one-layer BERT over the shop's words."""
    return write_encoder(tmp_path_factory.mktemp("encoder"))


@dataclass(frozen=True)
class Bootstrapped:
    store: MemoryStore
    config: BootstrapConfig
    record: ReleaseRecord
    folder: Path


def small_config(workspace: Path, encoder: Path) -> BootstrapConfig:
    return BootstrapConfig(
        workspace=workspace,
        seed=3,
        threads=1,
        encoder_folder=encoder,
        train=TrainSettings(epochs=4, check_every=2),
        holdout=HoldoutSettings(),
        ranker=RankerSettings(epochs=4, least_cases=100),
    )


@pytest.fixture(scope="session")
def bootstrapped(tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path) -> Bootstrapped:
    root = tmp_path_factory.mktemp("bootstrapped")
    store, config = shop(), small_config(root / "workspace", encoder_folder)
    record = bootstrap(store, root / "releases", config, Silent(), lambda: NOW_MICROS)
    return Bootstrapped(store, config, record, Path(record.url))


@pytest.fixture
def prepared_config(bootstrapped: Bootstrapped, tmp_path: Path) -> BootstrapConfig:
    """A fresh workspace in which only the language model is exported already."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    shutil.copytree(bootstrapped.config.workspace / "text_encoder", workspace / "text_encoder")
    return small_config(workspace, bootstrapped.config.encoder_folder or Path())


@pytest.fixture
def run(prepared_config: BootstrapConfig, tmp_path: Path) -> Callable[..., Path]:
    """Bootstraps a store and answers the release's folder."""

    def go(store: MemoryStore, **changes: object) -> Path:
        from dataclasses import replace

        config = replace(prepared_config, **changes)  # type: ignore[arg-type]
        record = bootstrap(store, tmp_path / "releases", config, Silent(), lambda: NOW_MICROS)
        assert record.state == "ACTIVE"
        return Path(record.url)

    return go


@pytest.fixture(scope="session")
def item_ids(bootstrapped: Bootstrapped) -> list[str]:
    ids: list[str] = json.loads((bootstrapped.folder / "item_ids.json").read_text())
    return ids
