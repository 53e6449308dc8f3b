"""What is wrong with a candidate is a reason against it that names the place; nothing of it reaches Triton."""

from pathlib import Path

import gated_release as gated
import numpy as np
import pytest
from gated_release import write_gated

from recency_export.evidence import Evidence, Gains, Observations
from recency_export.gate import GateSettings, Verdict, judge
from recency_store.manifest import Calibration, read_manifest

SETTINGS = GateSettings()


def check(verdict: Verdict, name: str) -> bool | None:
    return next(check.passed for check in verdict.checks if check.name == name)


def test_a_whole_release_passes_and_says_what_it_could_not_judge_by(tmp_path: Path) -> None:
    write_gated(tmp_path / "5", 5)
    verdict = judge(Evidence(5, tmp_path / "5"), SETTINGS)
    assert verdict.passed
    assert verdict.reasons == ()
    assert check(verdict, "parity_onnx") is True
    unknown = {check.name for check in verdict.checks if check.passed is None}
    assert unknown == {
        "parity_triton", "newest_ndcg", "old_ndcg", "calibration", "off_policy", "poisoning", "latency"
    }  # fmt: skip
    assert all(check.note for check in verdict.checks)


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (gated.skewed_golden, "golden case 2, scorer: logits differ"),
        (gated.truncated("recommender/model.onnx"), "onnxruntime cannot run it"),
        (gated.truncated("scorer/model.onnx"), "onnxruntime cannot run it"),
        (gated.truncated("golden.json"), "cannot be read"),
        (gated.truncated("trends.npz"), "cannot be read"),
        (gated.other_dimension, "a projection of (6, 9), the manifest says (6, 8)"),
        (gated.fewer_ids, "39 different item ids of 39, the manifest says 40"),
        (gated.missing_version, "needs version 999 of text_encoder"),
        (gated.nan_metric, "not finite: validation_ndcg_at_10"),
        (gated.nan_vectors, "golden case 0, recommender"),
    ],
)
def test_a_release_that_was_published_broken_is_refused(tmp_path: Path, broken: gated.Break, named: str) -> None:
    write_gated(tmp_path / "5", 5, 0, broken)
    verdict = judge(Evidence(5, tmp_path / "5"), SETTINGS)
    assert not verdict.passed
    assert named in verdict.reasons[0]


@pytest.mark.parametrize(
    "name", ["recommender/model.onnx", "scorer/model.onnx", "items.bin", "text_encoder/model.onnx"]
)
@pytest.mark.parametrize("how", [gated.truncated, gated.flipped])
def test_a_file_that_changed_after_it_was_published_is_named(tmp_path: Path, name: str, how: gated.Break) -> None:
    write_gated(tmp_path / "5", 5)
    how(name)(tmp_path / "5")
    verdict = judge(Evidence(5, tmp_path / "5"), SETTINGS)
    assert len(verdict.reasons) == 1
    assert str(tmp_path / "5" / name) in verdict.reasons[0]


def test_every_bit_of_a_graph_that_matters_is_noticed(tmp_path: Path) -> None:
    """Bits flipped all over a graph before it was signed: it fails to load, or gives other numbers, or changed nothing."""
    for number, at in enumerate(np.linspace(0.02, 0.98, 15)):
        folder = tmp_path / f"{number}" / "5"
        write_gated(folder, 5, 0, gated.flipped("recommender/model.onnx", float(at)))
        verdict = judge(Evidence(5, folder), SETTINGS)
        if verdict.reasons:
            assert "parity_onnx" in verdict.reasons[0]


def test_a_missing_folder_and_a_manifest_that_is_none_are_reasons(tmp_path: Path) -> None:
    assert "manifest.json" in judge(Evidence(5, tmp_path / "5"), SETTINGS).reasons[0]
    write_gated(tmp_path / "6", 6)
    (tmp_path / "6" / "manifest.json").write_text('{"format": 99}')
    assert "upgrade Recency" in judge(Evidence(6, tmp_path / "6"), SETTINGS).reasons[0]
    (tmp_path / "6" / "manifest.json").write_text("half a mani")
    assert "not a manifest" in judge(Evidence(6, tmp_path / "6"), SETTINGS).reasons[0]


def test_a_folder_that_holds_another_release_is_refused(tmp_path: Path) -> None:
    write_gated(tmp_path / "5", 5)
    assert "holds release 5, not 6" in judge(Evidence(6, tmp_path / "5"), SETTINGS).reasons[0]


def test_a_broken_parent_is_no_reason_against_its_successor(tmp_path: Path) -> None:
    write_gated(tmp_path / "4", 4)
    (tmp_path / "4" / "manifest.json").unlink()
    write_gated(tmp_path / "5", 5, 4)
    verdict = judge(Evidence(5, tmp_path / "5", tmp_path / "4"), SETTINGS)
    assert verdict.passed
    assert check(verdict, "parent") is None


# --- metrics -------------------------------------------------------------------------------------------------------------


def gains(change: float, cases: int = 400, spread: float = 0.05) -> Gains:
    rng = np.random.default_rng(0)
    parent = np.where(rng.random(cases) < 0.3, rng.random(cases), 0.0)
    return Gains(parent + change + rng.normal(0, spread, cases), parent, np.arange(cases) // 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gated") / "5"
    write_gated(folder, 5)
    return folder


@pytest.mark.parametrize(
    ("newest", "old", "reasons"),
    [
        (+0.02, 0.0, []),
        (-0.001, 0.0, []),  # within the interval
        (-0.05, 0.0, ["newest_ndcg"]),
        (0.0, -0.012, []),  # within the interval below the tolerance
        (0.0, -0.05, ["old_ndcg"]),
        (-0.05, -0.05, ["newest_ndcg", "old_ndcg"]),
    ],
)
def test_a_metric_counts_where_its_whole_interval_is_below_what_is_tolerated(
    folder: Path, newest: float, old: float, reasons: list[str]
) -> None:
    verdict = judge(Evidence(5, folder, newest=gains(newest), old=gains(old)), SETTINGS)
    assert [reason.split(":")[0] for reason in verdict.reasons] == reasons
    assert verdict.metrics["newest_ndcg_change_low"] < newest < verdict.metrics["newest_ndcg_change_high"]


def test_few_cases_say_so_and_pass_on_the_rest(folder: Path) -> None:
    verdict = judge(Evidence(5, folder, newest=gains(-0.5, cases=20), old=gains(-0.5)), SETTINGS)
    assert check(verdict, "newest_ndcg") is None
    assert check(verdict, "old_ndcg") is False
    assert any("20 cases are too few" in check.note for check in verdict.checks)


def test_a_metric_that_is_not_a_number_is_a_reason_and_not_a_pass(folder: Path) -> None:
    found = gains(0.1)
    found.candidate[7] = np.nan
    verdict = judge(Evidence(5, folder, newest=found), SETTINGS)
    assert verdict.reasons == ("newest_ndcg: 1 of 400 values are not finite",)
    assert all(np.isfinite(value) for value in verdict.metrics.values())


def observations(shift: float, seed: int = 0) -> Observations:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, 4_000).astype(np.float32)
    positive = rng.random(4_000) < 1 / (1 + np.exp(-logits))
    return Observations(logits, positive, Calibration(1.0, shift, "sampled"))


def test_probabilities_much_worse_than_the_parents_are_a_reason(folder: Path) -> None:
    good, bad = observations(0.0), observations(0.8)
    fails = judge(Evidence(5, folder, observed=bad, parent_observed=good), SETTINGS)
    assert fails.reasons[0].startswith("calibration: expected calibration error 0.1")
    # Relative to the parent: as bad as it was is no reason, and better certainly none.
    assert judge(Evidence(5, folder, observed=bad, parent_observed=bad), SETTINGS).passed
    assert judge(Evidence(5, folder, observed=good, parent_observed=bad), SETTINGS).passed
    assert fails.metrics["calibration_error_parent"] < 0.02


def test_the_same_evidence_gives_the_same_verdict(folder: Path) -> None:
    evidence = Evidence(5, folder, newest=gains(-0.01), old=gains(0.0))
    assert judge(evidence, SETTINGS).metrics == judge(evidence, SETTINGS).metrics
    assert read_manifest(folder).metrics == {}
