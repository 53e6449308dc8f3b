"""A request that was made, replayed along both paths: what the exporter builds for a held-out event, and what a gateway
sends to Triton when it is asked at that time over a store that ends there."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from served_stack import ServedStack

from recency.v1 import event_pb2
from recency_export.candidates import case_users
from recency_export.cases import Cases, seen_items, whole_cases
from recency_export.dataset import Dataset, read_dataset
from recency_export.onnx_session import open_model
from recency_export.snapshot import Snapshot, read_snapshot
from recency_features.spec import PAD, RECOMMENDER
from recency_inference.client import Inference, Input, RawTensor
from recency_server.parts import Parts, RecommendConfig, open_parts
from recency_server.query import Deadline, Query
from recency_server.recommend import recommend
from recency_store.manifest import Manifest
from recency_store.records import LoggedEvent, NewItem
from recency_store.sqlite import SqliteStore, open_sqlite

HISTORY = ("history_ids", "history_types", "history_ages_seconds", "history_length")
DTYPES = {"INT32": np.int32, "INT64": np.int64, "FP32": np.float32}


class WatchedInference(Inference):
    """The inference client, and what went through it."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.calls: list[tuple[str, dict[str, npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]] = []

    async def infer(
        self, model: str, version: int, inputs: Mapping[str, Input], outputs: Sequence[str], timeout_seconds: float
    ) -> dict[str, npt.NDArray[Any]]:
        answer = await super().infer(model, version, inputs, outputs, timeout_seconds)
        self.calls.append((model, {name: _array(tensor) for name, tensor in inputs.items()}, answer))
        return answer


def _array(tensor: Input) -> npt.NDArray[Any]:
    if isinstance(tensor, RawTensor):
        return np.frombuffer(tensor.data, dtype=DTYPES[tensor.datatype]).reshape(tensor.shape)
    return tensor


@dataclass
class Replay:
    """Held-out events, at most one a user, with the exporter's data; and a gateway's parts over a store in which each of
    these users has done only what came before."""

    data: Dataset
    cases: Cases
    user_ids: list[str]
    manifest: Manifest
    release: Path
    store: SqliteStore
    moment: list[int] = field(default_factory=lambda: [time.time_ns() // 1_000])

    async def ask(
        self, parts: Parts, watched: WatchedInference, case: int, **options: Any
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]:
        """Asks as the case's user at the case's time; what the gateway sent, and what it was answered."""
        self.moment[0] = int(self.cases.at_micros[case])
        watched.calls.clear()
        slate = await recommend(Query(user_id=self.user_ids[case], **options), Deadline.after(30.0), parts)
        assert slate.degraded == ()
        [(model, inputs, answer)] = watched.calls
        assert model == RECOMMENDER
        return inputs, answer


@pytest.fixture(scope="module")
def replay(stack: ServedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    trained_on = stack.folder.path / "trained-on"
    snapshot = read_snapshot(trained_on / "snapshot" / "snapshot.npz")
    data = read_dataset(trained_on / "dataset" / "dataset.npz")
    events = data.held_out
    # Of each user the last one: the most that there is to get wrong.
    last = {int(user): int(event) for user, event in zip(data.user_of[events], events, strict=True)}
    cases = whole_cases(data, np.array(sorted(last.values()), dtype=np.int64))
    store = open_sqlite(tmp_path_factory.mktemp("replay") / "store.db")
    with stack.folder.opened() as films:
        user_ids = _users(films, snapshot)
        case_ids = [user_ids[user] for user in cases.user.tolist()]
        log = list(films.scan_log(0, snapshot.last_sequence))
        store.upsert_items([NewItem(item.item()) for item in films.list_items(1_000)], 1)
        store.append(_before(log, dict(zip(case_ids, (cases.end - cases.begin).tolist(), strict=True))))
        record = films.get_release(1)
    store.put_release(record)
    store.set_release_state(record.release, record.state)
    yield Replay(data, cases, case_ids, Manifest.from_json(record.manifest_json, "release 1"), Path(record.url), store)
    store.close()


def _users(films: SqliteStore, snapshot: Snapshot) -> list[str]:
    """The users of the snapshot in its order: of their first events."""
    return list(dict.fromkeys(event.user_id for event in films.scan_log(0, snapshot.last_sequence)))


def _before(log: list[LoggedEvent], known: Mapping[str, int]) -> list[event_pb2.Event]:
    """The log, with each user's first `known` events alone; a search that does nothing holds the place of the others, so
    that the numbers of the log stay as they are."""
    first: dict[str, set[str]] = {}
    for user_id, count in known.items():
        ordered = sorted((e.time_micros, e.sequence, e.event_id) for e in log if e.user_id == user_id)
        first[user_id] = {event_id for _, _, event_id in ordered[:count]}
    kept = []
    for logged in log:
        event = logged.event()
        if logged.user_id in first and logged.event_id not in first[logged.user_id]:
            event = event_pb2.Event(
                event_id=logged.event_id,
                user_id="nobody",
                type=event_pb2.EVENT_TYPE_SEARCH,
                event_time=event.event_time,
            )
        kept.append(event)
    return kept


@pytest.fixture
async def parts(replay: Replay, stack: ServedStack) -> AsyncIterator[tuple[Parts, WatchedInference]]:
    async with (
        WatchedInference(stack.triton.address) as inference,
        open_parts(RecommendConfig("replay"), replay.store, inference, lambda: replay.moment[0]) as opened,
    ):
        assert opened.releases.live is not None, opened.releases.reason
        yield opened, inference


async def test_a_gateway_sends_bit_for_bit_what_the_exporter_builds_for_the_same_user_and_time(
    replay: Replay, parts: tuple[Parts, WatchedInference]
) -> None:
    assert len(replay.cases) > 20
    built = case_users(replay.data, replay.cases, replay.manifest.history_length, replay.manifest.dim)
    lengths = set()
    for case in range(len(replay.cases)):
        sent, _ = await replay.ask(*parts, case, include_seen=True)
        for name in (*HISTORY, "steer", "user_features"):
            expected = getattr(built, name)[case].numpy()
            assert sent[name].dtype == expected.dtype
            assert sent[name][0].tobytes() == expected.tobytes(), name
        assert _own_counts(sent["own_count_ids"][0], sent["own_counts"][0]) == _own_counts(
            built.own_count_ids[case].numpy(), built.own_counts[case].numpy()
        )
        lengths.add(int(sent["history_length"][0]))
    assert max(lengths) == replay.manifest.history_length
    assert min(lengths) < replay.manifest.history_length


def _own_counts(ids: npt.NDArray[np.int32], counts: npt.NDArray[np.float32]) -> list[tuple[int, float]]:
    """In their order, without the padding, whose width depends on the batch."""
    assert (counts[ids == PAD] == 0.0).all()
    return [(index, count) for index, count in zip(ids.tolist(), counts.tolist(), strict=True) if index != PAD]


async def test_a_gateway_leaves_out_what_the_exporter_leaves_out(
    replay: Replay, parts: tuple[Parts, WatchedInference]
) -> None:
    for case, seen in enumerate(seen_items(replay.data, replay.cases)):
        sent, _ = await replay.ask(*parts, case)
        left_out = sent["exclude_ids"][0]
        assert sorted(left_out[left_out != PAD].tolist()) == seen.tolist()
        assert len(seen)


async def test_triton_answers_what_onnxruntime_makes_of_the_exporters_arrays(
    replay: Replay, parts: tuple[Parts, WatchedInference]
) -> None:
    built = case_users(replay.data, replay.cases, replay.manifest.history_length, replay.manifest.dim)
    session = open_model(replay.release / RECOMMENDER / "model.onnx")
    for case in range(0, len(replay.cases), 4):
        sent, answered = await replay.ask(*parts, case, page_size=50, include_seen=True)
        # The overlay is the gateway's alone; everything of the user is as the exporter has it.
        feed = dict(sent) | {
            name: getattr(built, name)[case : case + 1].numpy() for name in built._fields if name in sent
        }
        feed["exclude_ids"] = sent["exclude_ids"][:1]
        ids, logits, _ = session.run(None, feed)
        expected = dict(zip(ids[0].tolist(), logits[0].tolist(), strict=True))
        found = dict(zip(answered["item_ids"][0].tolist(), answered["logits"][0].tolist(), strict=True))
        # Two items as good as equal may change places at the end.
        assert len(expected.keys() & found.keys()) >= len(expected) - 1
        for index in expected.keys() & found.keys():
            np.testing.assert_allclose(found[index], expected[index], rtol=1e-4, atol=1e-4)
