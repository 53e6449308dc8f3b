"""A shop of things in ten kinds, and a language model of a few words: the smallest real input that an exporter takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recency.v1 import event_pb2, item_pb2
from recency_store.memory import MemoryStore
from recency_store.records import NewItem

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


def write_tokenizer(path: Path) -> int:
    """Writes a tokenizer of the shop's words; answers how many there are."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *KINDS, "number", *map(str, range(200))]
    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(path))
    return len(words)


def write_encoder(folder: Path) -> Path:
    """A Hugging Face folder with a one-layer BERT over the shop's words."""
    import torch
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True, exist_ok=True)
    words = write_tokenizer(folder / "tokenizer.json")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=words, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(folder)
    return folder


def export_word_average(source: Path, target: Path) -> None:
    """What `text_encoder.export_encoder` writes, of a model that is quick to make: a text is the mean of its words' rows."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    words = write_tokenizer(target / "tokenizer.json")
    table = np.random.default_rng(0).normal(0, 0.3, (words, 32)).astype(np.float32)
    constants = {"words": table, "last": np.array([-1], np.int64), "one": np.array([1], np.int64)}
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["rows_BST"]),
        helper.make_node("Cast", ["attention_mask"], ["mask_BS"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask_BS", "last"], ["mask_BS1"]),
        helper.make_node("Mul", ["rows_BST", "mask_BS1"], ["masked_BST"]),
        helper.make_node("ReduceSum", ["masked_BST", "one"], ["summed_BT"], keepdims=0),
        helper.make_node("ReduceSum", ["mask_BS", "one"], ["count_B1"], keepdims=1),
        helper.make_node("Div", ["summed_BT", "count_B1"], ["text_vector"]),
    ]
    graph = helper.make_graph(
        nodes,
        "words",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["B", "S"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("text_vector", TensorProto.FLOAT, ["B", 32])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (target / "text_encoder").mkdir()
    onnx.save(model, str(target / "text_encoder" / "model.onnx"))
