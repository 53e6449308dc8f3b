"""A shop of 200 things in ten kinds, a language model of a few words, and one bootstrap of it that the tests share."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from recency.v1 import event_pb2, item_pb2
from recency_export.pipeline import bootstrap
from recency_export.progress import Silent
from recency_export.settings import BootstrapConfig, HoldoutSettings, RankerSettings, TrainSettings
from recency_store.memory import MemoryStore
from recency_store.records import NewItem, ReleaseRecord

KINDS = ("lamp", "chair", "tent", "novel", "piano", "boot", "kettle", "drill", "kite", "rug")
NOW_MICROS = 1_700_000_000_000_000


def make_item(number: int) -> NewItem:
    kind = KINDS[number % len(KINDS)]
    return NewItem(item_pb2.Item(item_id=f"item-{number:03}", title=f"{kind} number {number}", categories=[kind]))


def make_event(
    number: int, user: str, item: str, micros: int, kind: int = event_pb2.EVENT_TYPE_CLICK
) -> event_pb2.Event:
    event = event_pb2.Event(event_id=f"e{number}", user_id=user, item_id=item, type=kind)  # type: ignore[arg-type]
    event.event_time.FromMicroseconds(micros)
    return event


def filled(items: Sequence[NewItem], events: Sequence[event_pb2.Event]) -> MemoryStore:
    store = MemoryStore()
    if items:
        store.upsert_items(items, NOW_MICROS)
    if events:
        store.append(events)
    return store


def shop(items: int = 200, users: int = 120, length: int = 14, again: float = 0.0, seed: int = 0) -> MemoryStore:
    """Each user keeps to two kinds; with `again`, that share of the events is of an item they had before."""
    rng = np.random.default_rng(seed)
    events: list[event_pb2.Event] = []
    for user in range(users):
        likes = rng.choice(len(KINDS), 2, replace=False)
        had: list[int] = []
        micros = NOW_MICROS - int(rng.integers(1, 90)) * 86_400_000_000
        for _ in range(length):
            if had and rng.random() < again:
                number = had[int(rng.integers(len(had)))]
            else:
                number = int(rng.integers(items // len(KINDS))) * len(KINDS) + int(likes[int(rng.integers(2))])
                if number in had and not again:
                    continue
            had.append(number)
            micros += int(rng.integers(1, 4_000)) * 1_000_000
            events.append(make_event(len(events), f"user-{user}", f"item-{number:03}", micros))
    return filled([make_item(number) for number in range(items)], events)


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder with a one-layer BERT over the shop's words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *KINDS, "number", *map(str, range(200))]
    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(folder)
    return folder


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
