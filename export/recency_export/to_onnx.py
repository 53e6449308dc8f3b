"""`recommender` and `scorer` as ONNX over one external data file, items.bin.

torch's exporter writes the graphs; then the large tables are moved into the shared file (the item matrix first, at offset 0)
and `k`, which torch knows only as a tensor's length, becomes an input of its own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from recency_export.serving import Overlay, Recommender, Scorer, Serving, User
from recency_features.spec import INPUTS, OUTPUTS, RECOMMENDER, SCORER, USER_FEATURE_DIM

ITEMS_BIN = "items.bin"
# Parameters that lie in the shared file, in its order; the rest is small and stays in each graph.
_SHARED = ("items", "pairs", "neighbour_ids", "neighbour_weights", "log_count")
_ALIGNMENT = 4096
_USER = [t.name for t in INPUTS[SCORER][:8]]
_OVERLAY = ["item_bias", "item_trend", "fresh_vectors"]


def export_graphs(serving: Serving, target: Path) -> None:
    """Writes items.bin, recommender/model.onnx and scorer/model.onnx (each with items.bin hard-linked beside it)."""
    serving.eval()
    offsets = _write_shared(serving, target / ITEMS_BIN)
    user, overlay = _example(serving)
    dims = _dynamic(serving)
    excluded = torch.tensor([[0, -1, -1], [-1, -1, -1]], dtype=torch.int32)
    recommender = _export(
        Recommender(serving),
        (user, excluded, overlay, torch.zeros(5)),
        (dims["user"], {0: dims["B"], 1: dims["E"]}, dims["overlay"], {0: dims["k"]}),
        [*_USER, "exclude_ids", *_OVERLAY, "k_places"],
        [t.name for t in OUTPUTS[RECOMMENDER]],
    )
    _make_k_an_input(recommender)
    scorer = _export(
        Scorer(serving),
        (user, torch.tensor([[0, 1, -1, 0], [0, -1, -1, -1]], dtype=torch.int32), overlay),
        (dims["user"], {0: dims["B"], 1: dims["C"]}, dims["overlay"]),
        [*_USER, "candidate_ids", *_OVERLAY],
        ["logits"],
    )
    for name, model in ((RECOMMENDER, recommender), (SCORER, scorer)):
        _share(model, offsets)
        folder = target / name
        folder.mkdir()
        (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
        os.link(target / ITEMS_BIN, folder / ITEMS_BIN)


def _example(serving: Serving) -> tuple[User, Overlay]:
    """Inputs to trace with; every dimension that may vary has a size of its own."""
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
    overlay = Overlay(torch.zeros(count + fresh), torch.zeros(count + fresh, 3), torch.zeros(fresh, dim))
    return user, overlay


def _dynamic(serving: Serving) -> dict[str, Any]:
    b, length, own = (torch.export.Dim.DYNAMIC,) * 3
    dynamic = torch.export.Dim.DYNAMIC
    user = (
        {0: b, 1: length},
        {0: b, 1: length},
        {0: b, 1: length},
        {0: b},
        {0: b},
        {0: b},
        {0: b, 1: own},
        {0: b, 1: own},
    )
    return {
        "user": User(*user),  # type: ignore[arg-type]
        "overlay": Overlay({0: dynamic}, {0: dynamic}, {0: dynamic}),  # type: ignore[arg-type]
        "B": b,
        "E": dynamic,
        "C": dynamic,
        "k": dynamic,
    }


def _export(module: torch.nn.Module, args: Any, shapes: Any, inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    program = torch.onnx.export(
        module, args, dynamo=True, input_names=inputs, output_names=outputs, dynamic_shapes=shapes, verbose=False
    )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    return model


def _write_shared(serving: Serving, path: Path) -> dict[str, tuple[int, int]]:
    """The shared file; answers where each table lies, (offset, bytes)."""
    offsets = {}
    with path.open("wb") as file:
        for name in _SHARED:
            table = getattr(serving, name)
            if table is None:
                continue
            file.write(b"\0" * (-file.tell() % _ALIGNMENT))
            data = np.ascontiguousarray(table.detach().numpy()).tobytes()
            offsets[name] = (file.tell(), len(data))
            file.write(data)
    return offsets


def _share(model: onnx.ModelProto, offsets: dict[str, tuple[int, int]]) -> None:
    """Points the large initialisers into the shared file."""
    for initializer in model.graph.initializer:
        name = initializer.name.removeprefix("serving.")
        if name in offsets:
            offset, length = offsets[name]
            initializer.ClearField("raw_data")
            initializer.data_location = TensorProto.EXTERNAL
            del initializer.external_data[:]
            for key, value in (("location", ITEMS_BIN), ("offset", str(offset)), ("length", str(length))):
                initializer.external_data.add(key=key, value=value)


def _make_k_an_input(model: onnx.ModelProto) -> None:
    """k (int64 [1]) replaces the tensor whose length it was. More than there are items: the rest is -1 and -inf."""
    graph = model.graph
    kept = [value for value in graph.input if value.name != "k_places"]
    del graph.input[:]
    graph.input.extend([*kept, helper.make_tensor_value_info("k", TensorProto.INT64, [1])])
    before = [
        helper.make_node("Shape", ["item_bias"], ["k_items"]),
        helper.make_node("Min", ["k", "k_items"], ["k_found"]),
        helper.make_node("ConstantOfShape", ["k_found"], ["k_places"]),
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
    for value in graph.output:
        if value.name in ("item_ids", "logits"):
            value.type.tensor_type.shape.dim[1].Clear()
            value.type.tensor_type.shape.dim[1].dim_param = "k"


def shared_matrix(path: Path, items: int, dim: int) -> npt.NDArray[np.float32]:
    """The item matrix of a release, read from the head of its items.bin."""
    return np.fromfile(path, dtype="<f4", count=items * dim).reshape(items, dim)
