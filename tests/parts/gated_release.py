"""Tiny releases with all that the gate reads, whole or broken in one way; their manifests agree with what is broken."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from tiny_release import DIM, ITEMS, write_release

from recency.v1 import event_pb2
from recency_export.onnx_session import feed, open_model
from recency_features import spec
from recency_features.golden import GoldenCase, golden_request, read_golden, write_golden
from recency_features.history import Interaction
from recency_features.trends import Trends
from recency_store.manifest import MANIFEST, Manifest, file_entry, read_manifest

CLICK = int(event_pb2.EVENT_TYPE_CLICK)
NAMES = [f"item-{number}" for number in range(ITEMS)]
Break = Callable[[Path], Any]


def write_gated(folder: Path, release: int, parent: int = 0, *breaks: Break) -> Manifest:
    """A tiny release with trends and golden cases; `breaks` change its files before the manifest is signed."""
    manifest = write_release(folder, release, parent=parent)
    trends = Trends()
    trends.fold([Interaction(name, CLICK, 10**15 + number) for number, name in enumerate(NAMES[:9])])
    (folder / "trends.npz").write_bytes(trends.to_bytes())
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    write_golden(folder / "golden.json", _golden(folder, trends))
    manifest = replace(manifest, trained_through_micros=10**15 + 100)
    for broken in breaks:
        manifest = replace(manifest, **(broken(folder) or {}))
    return sign(folder, manifest)


def sign(folder: Path, manifest: Manifest) -> Manifest:
    """Writes the manifest with the checksums of the files as they are."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST)
    signed = replace(manifest, files={str(path.relative_to(folder)): file_entry(path) for path in files})
    (folder / MANIFEST).write_text(signed.to_json(), encoding="utf-8")
    return signed


def _golden(folder: Path, trends: Trends) -> list[GoldenCase]:
    recommender, scorer = (open_model(folder / name / "model.onnx") for name in (spec.RECOMMENDER, spec.SCORER))
    trend_NT = trends.counts(np.array([trends.row_of.get(name, -1) for name in NAMES]), 10**15 + 100)
    cases = []
    for length in (0, 1, 5):
        history = tuple((name, CLICK, 100.0) for name in NAMES[:length])
        case = GoldenCase(history, tuple(NAMES[5:8]), (0.1,) * DIM, (), (), tuple(NAMES[10:14]), ())
        request = golden_request(case, NAMES, trend_NT, DIM, spec.HISTORY_LENGTH)
        ids, logits, _ = recommender.run(None, feed(request, spec.RECOMMENDER))
        (scored,) = scorer.run(None, feed(request, spec.SCORER))
        cases.append(
            replace(
                case,
                expected_item_ids=tuple(NAMES[row] for row in ids[0, :10]),
                expected_logits=tuple(float(x) for x in logits[0, :10]),
                expected_candidate_logits=tuple(float(x) for x in scored[0, :4]),
            )
        )
    return cases


def renew_golden(folder: Path) -> None:
    """Golden cases that agree with the graphs as they are now."""
    write_golden(folder / "golden.json", _golden(folder, Trends.from_bytes((folder / "trends.npz").read_bytes())))


def skewed_golden(folder: Path) -> None:
    """The exporter computed something else than the graphs do."""
    *rest, last = read_golden(folder / "golden.json")
    off = tuple(logit + 0.01 for logit in last.expected_candidate_logits)
    write_golden(folder / "golden.json", [*rest, replace(last, expected_candidate_logits=off)])


def truncated(name: str) -> Break:
    """The last third of a file is missing."""

    def cut(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) * 2 // 3])

    return cut


def flipped(name: str, at: float = 0.5) -> Break:
    """One bit of a file is the other one."""

    def flip(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[int(len(content) * at)] ^= 0x10
        (folder / name).write_bytes(bytes(content))

    return flip


def other_dimension(folder: Path) -> None:
    """A projection to vectors wider than the release's."""
    np.save(folder / "projection.npy", np.zeros((6, DIM + 1), dtype=np.float32))


def fewer_ids(folder: Path) -> None:
    """One item has no name."""
    (folder / "item_ids.json").write_text(json.dumps(NAMES[:-1]), encoding="utf-8")


def missing_version(folder: Path) -> dict[str, Any]:
    """The manifest wants a language model of a release that there is not."""
    (folder / spec.TEXT_ENCODER / "model.onnx").unlink()
    versions = read_manifest(folder).model_versions
    return {"model_versions": versions | {spec.TEXT_ENCODER: 999}}


def nan_metric(folder: Path) -> dict[str, Any]:
    """Training went wrong and nobody looked."""
    return {"metrics": {"validation_ndcg_at_10": float("nan")}}


def nan_vectors(folder: Path) -> None:
    """One item's vector is not finite."""
    path = folder / "items.bin"
    vectors = np.fromfile(path, dtype="<f4")
    vectors[3 * DIM] = np.nan
    with path.open("r+b") as file:
        file.write(vectors.tobytes())


def slow(folder: Path, layers: int = 256) -> None:
    """The recommender does a lot of work on the side, which changes nothing."""
    path = folder / spec.RECOMMENDER / "model.onnx"
    model = onnx.load(path, load_external_data=False)
    width = 1024
    weights = np.full((width, width), 1.0 / width, dtype=np.float32)
    constants = {"side_in": np.full((DIM, width), 1e-3, np.float32), "side": weights, "side_zero": np.float32(0)}
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items())
    nodes = [helper.make_node("MatMul", ["user_vector", "side_in"], ["side_0"])]
    nodes += [helper.make_node("MatMul", [f"side_{i}", "side"], [f"side_{i + 1}"]) for i in range(layers)]
    nodes += [
        helper.make_node("ReduceMean", [f"side_{layers}"], ["side_mean"], keepdims=1),
        helper.make_node("Mul", ["side_mean", "side_zero"], ["side_nothing"]),
        helper.make_node("Add", ["quiet_logits", "side_nothing"], ["masked_logits"]),
    ]
    kept = list(model.graph.node)
    place = next(number for number, node in enumerate(kept) if "masked_logits" in node.output)
    kept[place].output[0] = "quiet_logits"
    del model.graph.node[:]
    model.graph.node.extend([*kept[: place + 1], *nodes, *kept[place + 1 :]])
    path.write_bytes(model.SerializeToString())
