"""Releases of tiny models that honour the names and shapes of `recency_features.spec`, for tests over a real Triton.

`recommender` and `scorer` read one external `items.bin`; the user vector is steer + mean of the history's item vectors,
a logit is its inner product with the item + item_bias. The item vectors depend on the release number, so an answer tells
which release gave it. `text_encoder` averages rows of a table.
"""

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from recency_features import spec
from recency_store.manifest import MANIFEST, Manifest, file_entry

ITEMS = 40
DIM = 8
TEXT_DIM = 6
VOCABULARY = 64
_TYPES = {"INT32": TensorProto.INT32, "INT64": TensorProto.INT64, "FP32": TensorProto.FLOAT}


def item_vectors(release: int) -> np.ndarray:
    return np.random.default_rng(release).standard_normal((ITEMS, DIM)).astype(np.float32)


def write_release(folder: Path, release: int, text_encoder: int | None = None, parent: int = 0) -> Manifest:
    """Writes release folder `folder`; `text_encoder` names an earlier release whose language model it keeps."""
    folder.mkdir(parents=True)
    (folder / "items.bin").write_bytes(item_vectors(release).tobytes())
    for model, graph in ((spec.RECOMMENDER, _recommender()), (spec.SCORER, _scorer())):
        (folder / model).mkdir()
        (folder / model / "model.onnx").write_bytes(graph.SerializeToString())
        (folder / model / "items.bin").hardlink_to(folder / "items.bin")
    if text_encoder is None:
        (folder / spec.TEXT_ENCODER).mkdir()
        (folder / spec.TEXT_ENCODER / "model.onnx").write_bytes(_text_encoder().SerializeToString())
    (folder / "item_ids.json").write_text(json.dumps([f"item-{i}" for i in range(ITEMS)]), encoding="utf-8")
    np.save(folder / "projection.npy", np.random.default_rng(0).standard_normal((TEXT_DIM, DIM)).astype(np.float32))
    manifest = Manifest(
        release=release,
        parent=parent,
        trained_through_sequence=0,
        trained_through_micros=0,
        catalog_sequence=0,
        item_count=ITEMS,
        event_count=0,
        dim=DIM,
        learned_dim=DIM // 2,
        text_dim=TEXT_DIM,
        history_length=spec.HISTORY_LENGTH,
        trend_half_lives_seconds=spec.TREND_HALF_LIVES_SECONDS,
        user_feature_dim=spec.USER_FEATURE_DIM,
        model_versions={
            spec.RECOMMENDER: release,
            spec.SCORER: release,
            spec.TEXT_ENCODER: release if text_encoder is None else text_encoder,
        },
        text_encoder_digest="tiny",
        query_scale=1.0,
        trend_bias_weight=0.0,
        repeat_share=0.0,
        files={str(path.relative_to(folder)): file_entry(path) for path in sorted(folder.rglob("*")) if path.is_file()},
    )
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def _tensors(tensors):
    return [helper.make_tensor_value_info(t.name, _TYPES[t.datatype], [_dim(d) for d in t.dims]) for t in tensors]


def _dim(dim):
    return dim if isinstance(dim, int) else dim.replace("+", "_plus_")


def _model(name, nodes, initializers):
    graph = helper.make_graph(nodes, name, _tensors(spec.INPUTS[name]), _tensors(spec.OUTPUTS[name]), initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _constant(name, value):
    return numpy_helper.from_array(np.asarray(value), name)


def _external_items():
    tensor = TensorProto(name="items", data_type=TensorProto.FLOAT, dims=[ITEMS, DIM])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "items.bin"), ("offset", "0"), ("length", str(ITEMS * DIM * 4))):
        tensor.external_data.add(key=key, value=value)
    return tensor


def _user_vector(output):
    """Nodes for steer + mean over the real positions of the history; `all` are items and fresh vectors."""
    return [
        helper.make_node("Concat", ["items", "fresh_vectors"], ["all"], axis=0),
        helper.make_node("Max", ["history_ids", "zero32"], ["safe_ids"]),
        helper.make_node("Gather", ["all", "safe_ids"], ["history_BLD"]),
        helper.make_node("GreaterOrEqual", ["history_ids", "zero32"], ["real_BL"]),
        helper.make_node("Cast", ["real_BL"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["real", "axis_last"], ["real_BL1"]),
        helper.make_node("Mul", ["history_BLD", "real_BL1"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "axis_1"], ["summed"], keepdims=0),
        helper.make_node("ReduceSum", ["real", "axis_1"], ["count"], keepdims=1),
        helper.make_node("Max", ["count", "one"], ["divisor"]),
        helper.make_node("Div", ["summed", "divisor"], ["mean"]),
        helper.make_node("Add", ["mean", "steer"], [output]),
    ]


_USER_CONSTANTS = (
    ("zero32", np.int32(0)),
    ("one", np.float32(1)),
    ("axis_1", np.array([1], np.int64)),
    ("axis_last", np.array([-1], np.int64)),
    ("minus_infinity", np.float32(-np.inf)),
)


def _recommender():
    nodes = [
        *_user_vector("user_vector"),
        helper.make_node("Transpose", ["all"], ["all_T"], perm=[1, 0]),
        helper.make_node("MatMul", ["user_vector", "all_T"], ["products"]),
        helper.make_node("Add", ["products", "item_bias"], ["open"]),
        # excluded[b, i]: whether any exclude_ids[b, :] is i
        helper.make_node("Shape", ["item_bias"], ["rows"]),
        helper.make_node("Squeeze", ["rows"], ["row_count"]),
        helper.make_node("Range", ["zero64", "row_count", "one64"], ["row_ids64"]),
        helper.make_node("Cast", ["row_ids64"], ["row_ids"], to=TensorProto.INT32),
        helper.make_node("Unsqueeze", ["exclude_ids", "axis_last"], ["exclude_BE1"]),
        helper.make_node("Equal", ["exclude_BE1", "row_ids"], ["is_BEN"]),
        helper.make_node("Cast", ["is_BEN"], ["is"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["is", "axis_1"], ["excluded"], keepdims=0),
        helper.make_node("Greater", ["excluded", "half"], ["excluded_BN"]),
        helper.make_node("Where", ["excluded_BN", "minus_infinity", "open"], ["masked_logits"]),
        helper.make_node("TopK", ["masked_logits", "k"], ["logits", "ids64"], axis=-1),
        helper.make_node("Cast", ["ids64"], ["ids"], to=TensorProto.INT32),
        helper.make_node("IsInf", ["logits"], ["none"]),
        helper.make_node("Where", ["none", "minus_one32", "ids"], ["item_ids"]),
    ]
    constants = (
        *_USER_CONSTANTS,
        ("zero64", np.int64(0)),
        ("one64", np.int64(1)),
        ("half", np.float32(0.5)),
        ("minus_one32", np.int32(-1)),
    )
    return _model(spec.RECOMMENDER, nodes, [_external_items(), *(_constant(n, v) for n, v in constants)])


def _scorer():
    nodes = [
        *_user_vector("user"),
        helper.make_node("Max", ["candidate_ids", "zero32"], ["safe_candidates"]),
        helper.make_node("Gather", ["all", "safe_candidates"], ["candidates_BCD"]),
        helper.make_node("Unsqueeze", ["user", "axis_last"], ["user_BD1"]),
        helper.make_node("MatMul", ["candidates_BCD", "user_BD1"], ["products_BC1"]),
        helper.make_node("Squeeze", ["products_BC1", "axis_last"], ["products"]),
        helper.make_node("Gather", ["item_bias", "safe_candidates"], ["bias"]),
        helper.make_node("Add", ["products", "bias"], ["open"]),
        helper.make_node("Less", ["candidate_ids", "zero32"], ["padding"]),
        helper.make_node("Where", ["padding", "minus_infinity", "open"], ["logits"]),
    ]
    return _model(spec.SCORER, nodes, [_external_items(), *(_constant(n, v) for n, v in _USER_CONSTANTS)])


def _text_encoder():
    table = np.random.default_rng(7).standard_normal((VOCABULARY, TEXT_DIM)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["tokens_BSD"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "axis_last"], ["mask_BS1"]),
        helper.make_node("Mul", ["tokens_BSD", "mask_BS1"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "axis_1"], ["summed"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "axis_1"], ["count"], keepdims=1),
        helper.make_node("Max", ["count", "one"], ["divisor"]),
        helper.make_node("Div", ["summed", "divisor"], ["text_vector"]),
    ]
    constants = (
        ("table", table),
        ("one", np.float32(1)),
        ("axis_1", np.array([1], np.int64)),
        ("axis_last", np.array([-1], np.int64)),
    )
    return _model(spec.TEXT_ENCODER, nodes, [_constant(n, v) for n, v in constants])
