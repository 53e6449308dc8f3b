"""torch, onnxruntime, training and serving give the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from recency_export.candidates import case_users
from recency_export.cases import whole_cases
from recency_export.dataset import read_dataset, training_batches
from recency_export.onnx_session import feed, open_model
from recency_export.parity import check_parity, made_up_request
from recency_export.ranker import as_fresh
from recency_export.snapshot import read_snapshot
from recency_export.stages import assemble
from recency_features.golden import TOLERANCE, golden_request, read_golden
from recency_features.history import Interaction, history_arrays, own_counts, stack_histories
from recency_features.spec import TREND_COLUMNS
from recency_features.trends import Trends
from recency_store.manifest import read_manifest

from .conftest import Bootstrapped


def test_both_graphs_compute_what_torch_computes_with_everything_a_request_can_bring(
    bootstrapped: Bootstrapped,
) -> None:
    serving = assemble(bootstrapped.config, bootstrapped.config.workspace)
    assert check_parity(serving, bootstrapped.folder, seed=41) < 1e-4


def test_a_score_depends_neither_on_batch_mates_nor_on_padding(bootstrapped: Bootstrapped) -> None:
    session = open_model(bootstrapped.folder / "recommender" / "model.onnx")
    together = made_up_request(200, 128, fresh=2, batch=7, positions=20, seed=5)
    _, logits, vectors = session.run(None, feed(together, "recommender"))
    for row in range(7):
        alone = dict(together)
        for name in ("steer", "user_features", "own_count_ids", "own_counts", "exclude_ids", "history_length"):
            alone[name] = together[name][row : row + 1]
        for name in ("history_ids", "history_types", "history_ages_seconds"):
            padding = ((0, 0), (30, 0))
            alone[name] = np.pad(
                together[name][row : row + 1], padding, constant_values=-1 if name == "history_ids" else 0
            )
        _, own_logits, own_vectors = session.run(None, feed(alone, "recommender"))
        np.testing.assert_allclose(own_vectors[0], vectors[row], atol=1e-5)
        np.testing.assert_allclose(own_logits[0], logits[row], atol=1e-4)


def test_the_recommender_leaves_out_what_is_excluded_or_hidden_and_fills_the_rest_with_nothing(
    bootstrapped: Bootstrapped,
) -> None:
    session = open_model(bootstrapped.folder / "recommender" / "model.onnx")
    request = made_up_request(200, 128, fresh=3, batch=4, positions=10, seed=6)
    request["k"] = np.array([500], dtype=np.int64)
    ids, logits, _ = session.run(None, feed(request, "recommender"))
    assert ids.shape == logits.shape == (4, 500)
    hidden = set(np.flatnonzero(np.isneginf(request["item_bias"])).tolist())
    for row in range(4):
        shown = ids[row][ids[row] >= 0]
        banned = hidden | set(request["exclude_ids"][row].tolist())
        assert set(shown.tolist()) == set(range(203)) - banned
        assert len(shown) == len(set(shown.tolist()))
        assert np.isneginf(logits[row][len(shown) :]).all()
        assert (np.diff(logits[row][: len(shown)]) <= 0).all()


def test_golden_cases_replay_in_onnxruntime(bootstrapped: Bootstrapped, item_ids: list[str]) -> None:
    manifest = read_manifest(bootstrapped.folder)
    trends = Trends.from_bytes((bootstrapped.folder / "trends.npz").read_bytes())
    trend_NT = trends.columns(
        np.array([trends.row_of[i] for i in item_ids]), manifest.trained_through_micros, manifest.trend_width
    )
    recommender, scorer = (open_model(bootstrapped.folder / m / "model.onnx") for m in ("recommender", "scorer"))
    cases = read_golden(bootstrapped.folder / "golden.json")
    assert {len(case.history) for case in cases} >= {0, 1, 50, 64}
    for case in cases:
        request = golden_request(case, item_ids, trend_NT, manifest.dim, manifest.history_length)
        ids, logits, _ = recommender.run(None, feed(request, "recommender"))
        assert [item_ids[i] for i in ids[0, :5]] == list(case.expected_item_ids[:5])
        np.testing.assert_allclose(logits[0, :20], case.expected_logits, atol=TOLERANCE)
        (scored,) = scorer.run(None, feed(request, "scorer"))
        np.testing.assert_allclose(scored[0, :10], case.expected_candidate_logits, atol=TOLERANCE)


def test_the_arrays_that_fitted_the_ranker_are_those_that_serving_makes_of_the_log(bootstrapped: Bootstrapped) -> None:
    workspace = bootstrapped.config.workspace
    data = read_dataset(workspace / "dataset" / "dataset.npz")
    cases = whole_cases(data, data.held_out[:60])
    trained = case_users(data, cases, 50, 128)
    users = _user_ids(bootstrapped, workspace)
    for row, at in enumerate(cases.at_micros.tolist()):
        logged = bootstrapped.store.read_user(users[int(cases.user[row])], 500, at - 1)
        interactions = [Interaction(e.item_id, e.type, e.time_micros) for e in logged]
        served = stack_histories([history_arrays(interactions, data.index_of, at, 50)], 1, 50)
        assert trained.history_length[row] == served.length[0] > 0
        np.testing.assert_array_equal(trained.history_ids[row].numpy(), served.ids[0])
        np.testing.assert_array_equal(trained.history_types[row].numpy(), served.types[0])
        np.testing.assert_array_equal(trained.history_ages_seconds[row].numpy(), served.ages_seconds[0])
        counts = {data.index_of[name]: n for name, n in own_counts(interactions).items()}
        ids, values = trained.own_count_ids[row].tolist(), trained.own_counts[row].tolist()
        assert {i: n for i, n in zip(ids, values, strict=True) if i >= 0} == counts


def _user_ids(bootstrapped: Bootstrapped, workspace: Path) -> list[str]:
    """The users by the dataset's numbers: those of the log in the order of their first event."""
    seen = dict.fromkeys(event.user_id for event in bootstrapped.store.scan_log())
    snapshot = read_snapshot(workspace / "snapshot" / "snapshot.npz")
    names = list(seen)
    return [names[number] for number in np.unique(snapshot.user).tolist()]


def test_training_windows_are_histories_as_of_the_last_target(bootstrapped: Bootstrapped) -> None:
    data = read_dataset(bootstrapped.config.workspace / "dataset" / "dataset.npz")
    batches = list(training_batches(data, 8, 16, np.random.default_rng(1)))
    targets = sum(int((b.weight > 0).sum() + (b.first_weight > 0).sum()) for b in batches)
    assert targets == int((data.train_end - data.offsets[:-1]).sum())
    for batch in batches:
        for row, length in enumerate(batch.history.length.tolist()):
            # What stands at a position is what the position before had to predict.
            inputs = batch.history.ids[row, 8 - length :]
            np.testing.assert_array_equal(batch.target[row, 8 - length : 7], inputs[1:])


def test_the_last_position_alone_is_what_the_whole_encoder_says_of_it(bootstrapped: Bootstrapped) -> None:
    serving = assemble(bootstrapped.config, bootstrapped.config.workspace)
    torch.manual_seed(0)
    vectors, ages = torch.randn(3, 9, 64), torch.rand(3, 9).cumsum(1).flip(1) * 1e5
    length = torch.tensor([9, 4, 1], dtype=torch.int32)
    types = torch.ones(3, 9, dtype=torch.int32)
    with torch.no_grad():
        whole = serving.users(vectors, types, ages, length)[:, -1]
        last = serving.users(vectors, types, ages, length, last_only=True)
    torch.testing.assert_close(whole, last, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("place", [0, 4])
def test_training_never_reads_what_comes_later(bootstrapped: Bootstrapped, place: int) -> None:
    serving = assemble(bootstrapped.config, bootstrapped.config.workspace)
    torch.manual_seed(0)
    vectors, ages = torch.randn(1, 9, 64), torch.linspace(9e4, 1e4, 9).unsqueeze(0)
    types, length = torch.ones(1, 9, dtype=torch.int32), torch.tensor([9], dtype=torch.int32)
    changed = vectors.clone()
    changed[:, place + 1 :] += 1.0
    with torch.no_grad():
        one, other = (serving.users(v, types, ages, length)[0, : place + 1] for v in (vectors, changed))
    torch.testing.assert_close(one, other)


def test_the_ranker_is_fitted_on_fresh_items_as_it_will_read_them(bootstrapped: Bootstrapped) -> None:
    config = bootstrapped.config
    serving = assemble(config, config.workspace)
    data = read_dataset(config.workspace / "dataset" / "dataset.npz")
    cases = whole_cases(data, data.held_out[:6])
    user = case_users(data, cases, config.model.history_length, serving.items.shape[1])
    known = torch.arange(60, dtype=torch.int32).repeat(6, 1)
    base, log_trend = torch.randn(6, 60), torch.rand(6, 60, TREND_COLUMNS)
    with torch.no_grad():
        features = serving.features(user, known, base, log_trend)
        served = serving.features(user, known + serving.items.shape[0], base, log_trend)
    fresh = torch.rand(6, 60) < 0.5
    fitted = as_fresh(features, fresh)
    assert (features[fresh] != fitted[fresh]).any()
    torch.testing.assert_close(fitted[~fresh], features[~fresh])
    # What a user has consumed already is known of known items alone.
    new = fresh & ~torch.from_numpy(np.isin(known.numpy(), user.history_ids.numpy()))
    torch.testing.assert_close(fitted[new], served[new])
