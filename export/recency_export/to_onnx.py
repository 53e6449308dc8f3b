"""`recommender` and `scorer` as ONNX over one external data file, items.bin.

torch's exporter writes the graphs with every table that has a row an item as an input, so that no number of items is taken
for fixed; then the tables move into the shared file (the item matrix first, at offset 0), and `k`, which torch knows only
as a tensor's length, becomes an input of its own. What is left of the catalogue in a graph is the shapes and places of its
tables: `shared_tables.py` gives the same graph other ones.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from recency_export.serving import Overlay, Recommender, Scorer, Serving, Tables, User
from recency_export.shared_tables import ITEMS_BIN, place_tables, write_tables
from recency_features.spec import INPUTS, OUTPUTS, RECOMMENDER, SCORER, TREND_COLUMNS, USER_FEATURE_DIM

_OPSET = 18
# Letters of the dimensions' legend that a request decides.
_DYNAMIC = frozenset(("B", "L", "E", "C", "K", "R", "N+R", "k"))
_PLACES = "k_places"


class _Flat(torch.nn.Module):
    """A model that takes its inputs one by one, as a graph does, and after them the tables of these names."""

    def __init__(self, model: Recommender | Scorer, tables: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self._names = tables

    def forward(self, *inputs: torch.Tensor) -> Any:
        """The user's tensors, ids, the overlay's tensors, whatever follows, and the tables."""
        user, ids, overlay = len(User._fields), len(User._fields) + 1, len(User._fields) + 1 + len(Overlay._fields)
        rest = len(inputs) - len(self._names)
        self.model.serving.tables = Tables(**dict(zip(self._names, inputs[rest:], strict=True)))
        return self.model(User(*inputs[:user]), inputs[user], Overlay(*inputs[ids:overlay]), *inputs[overlay:rest])


def export_graphs(serving: Serving, target: Path) -> None:
    """Writes items.bin, recommender/model.onnx and scorer/model.onnx (each with items.bin hard-linked beside it)."""
    serving.eval()
    own = serving.tables
    tables = {name: table for name, table in own._asdict().items() if table is not None}
    places = write_tables({name: table.numpy() for name, table in tables.items()}, target / ITEMS_BIN)
    user, overlay = _example(serving)
    ids = torch.tensor([[0, -1, -1], [-1, -1, -1]], dtype=torch.int32)
    recommender = _export(Recommender(serving), RECOMMENDER, (*user, ids, *overlay, torch.zeros(5)), tables)
    _make_k_an_input(recommender)
    scorer = _export(Scorer(serving), SCORER, (*user, ids, *overlay), tables)
    serving.tables = own
    for name, model in ((RECOMMENDER, recommender), (SCORER, scorer)):
        inputs = [value for value in model.graph.input if value.name not in places]
        del model.graph.input[:]
        model.graph.input.extend(inputs)
        place_tables(model, places)
        folder = target / name
        folder.mkdir()
        (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
        os.link(target / ITEMS_BIN, folder / ITEMS_BIN)


def _example(serving: Serving) -> tuple[User, Overlay]:
    """Inputs to trace with; what may vary has a size that no other dimension has."""
    count, dim = serving.items.shape
    user = User(
        history_ids=torch.tensor([[-1] * 4 + [0, 0], [-1] * 6], dtype=torch.int32),
        history_types=torch.ones(2, 6, dtype=torch.int32),
        history_ages_seconds=torch.arange(12.0).flip(0).view(2, 6),
        history_length=torch.tensor([2, 0], dtype=torch.int32),
        steer=torch.zeros(2, dim),
        user_features=torch.zeros(2, USER_FEATURE_DIM),
        own_count_ids=torch.full((2, 7), -1, dtype=torch.int32),
        own_counts=torch.zeros(2, 7),
    )
    fresh = 8
    overlay = Overlay(torch.zeros(count + fresh), torch.zeros(count + fresh, TREND_COLUMNS), torch.zeros(fresh, dim))
    return user, overlay


def _export(
    model: Recommender | Scorer, name: str, example: tuple[torch.Tensor, ...], tables: Mapping[str, torch.Tensor]
) -> onnx.ModelProto:
    """By torch's tracing exporter: the same graph as the newer one's in a twentieth of its time (docs/decisions/0021)."""
    inputs = [tensor for tensor in INPUTS[name] if tensor.name != "k"]
    shapes = {tensor.name: tensor.dims for tensor in (*inputs, *OUTPUTS[name])} | {_PLACES: ("k",)}
    names = [tensor.name for tensor in inputs] + ([_PLACES] if name == RECOMMENDER else [])
    dynamic = {
        tensor: {axis: letter for axis, letter in enumerate(dims) if letter in _DYNAMIC}
        for tensor, dims in shapes.items()
    }
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        # It is called old, and it notes each size that it takes for fixed: the parity check is what tells.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Flat(model, list(tables)).eval(),
            (*example, *tables.values()),
            f"{folder}/model.onnx",
            dynamo=False,
            opset_version=_OPSET,
            input_names=[*names, *tables],
            output_names=[tensor.name for tensor in OUTPUTS[name]],
            dynamic_axes=dynamic | {table: {0: f"{table}_rows"} for table in tables},
        )
        return onnx.load_model(f"{folder}/model.onnx")


def _make_k_an_input(model: onnx.ModelProto) -> None:
    """k (int64 [1]) replaces the tensor whose length it was. More than there are items: the rest is -1 and -inf."""
    graph = model.graph
    kept = [value for value in graph.input if value.name != _PLACES]
    del graph.input[:]
    graph.input.extend([*kept, helper.make_tensor_value_info("k", TensorProto.INT64, [1])])
    before = [
        helper.make_node("Shape", ["item_bias"], ["k_items"]),
        helper.make_node("Min", ["k", "k_items"], ["k_found"]),
        helper.make_node("ConstantOfShape", ["k_found"], [_PLACES]),
    ]
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([0, 0, 0], dtype=np.int64), "k_pad_before"),
            numpy_helper.from_array(np.array(-1, dtype=np.int32), "k_no_id"),
            numpy_helper.from_array(np.array(-np.inf, dtype=np.float32), "k_no_logit"),
        ]
    )
    after = [
        helper.make_node("Sub", ["k", "k_found"], ["k_short"]),
        helper.make_node("Concat", ["k_pad_before", "k_short"], ["k_pads"], axis=0),
    ]
    for output, filler in (("item_ids", "k_no_id"), ("logits", "k_no_logit")):
        for node in graph.node:
            for place, name in enumerate(node.output):
                if name == output:
                    node.output[place] = f"{output}_found"
            for place, name in enumerate(node.input):
                if name == output:
                    node.input[place] = f"{output}_found"
        after.append(helper.make_node("Pad", [f"{output}_found", "k_pads", filler], [output]))
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    # Shapes that the exporter noted speak of the length that k was.
    del graph.value_info[:]
