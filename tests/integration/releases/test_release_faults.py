"""The active pointer set to what cannot serve, and canaries that go wrong: the served release goes on, and the reason is
on record: at the gateway, in its metrics and log, and in `recency release show`."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from gated_release import flipped, sign, slow, truncated
from onnx import TensorProto, helper, numpy_helper
from served_stack import DataFolder
from structlog.testing import capture_logs
from triton_stack import clock

from recency.v1 import event_pb2
from recency_features import spec
from recency_server.arm_limits import CanaryConfig
from recency_store.manifest import MANIFEST, Manifest
from recency_store.records import ReleaseState

from .conftest import Callers, Gateway, OpenGateway, Stage

Change = Callable[[Path, Manifest], Manifest]
PURCHASE = int(event_pb2.EVENT_TYPE_PURCHASE)


def unsigned(broken: Callable[[Path], object]) -> Change:
    """Broken after its manifest was signed."""

    def change(folder: Path, manifest: Manifest) -> Manifest:
        broken(folder)
        return manifest

    return change


def other_vectors(folder: Path, manifest: Manifest) -> Manifest:
    """Vectors of a smaller dimension than the manifest says, with checksums that agree."""
    narrow = np.zeros((manifest.item_count, manifest.dim - 1), dtype="<f4").tobytes()
    for path in (folder / "items.bin", *folder.glob("*/items.bin")):
        path.unlink()
        path.write_bytes(narrow)
    return sign(folder, manifest)


def from_the_future(folder: Path, manifest: Manifest) -> Manifest:
    """Written by a newer software."""
    newer = replace(manifest, format=99)
    (folder / MANIFEST).write_text(newer.to_json(), encoding="utf-8")
    return newer


FAULTS: tuple[tuple[Change, str], ...] = (
    (unsigned(truncated("items.bin")), "items.bin"),
    (unsigned(lambda folder: (folder / "golden.json").unlink()), "golden.json"),
    (unsigned(flipped(f"{spec.RECOMMENDER}/model.onnx")), "checksum"),
    (other_vectors, "vectors of dimension"),
    (from_the_future, "upgrade Recency"),
)


async def test_an_active_release_that_cannot_serve_leaves_the_served_one_and_says_why(
    stage: Stage, gateway: OpenGateway
) -> None:
    good = stage.active()
    calls = Callers()
    async with gateway() as here, calls.on(here):
        for change, says in FAULTS:
            broken = stage.write(change).release
            with capture_logs() as logs:
                register_as_it_is(stage, broken)
                stage.store.set_release_state(broken, ReleaseState.ACTIVE)
                reason = await told(here, stage, broken, says)
            assert any(says in str(entry.get("reason", "")) for entry in logs), (says, logs)
            await calls.more(20)
            if stage.active() == broken:
                assert f'recency_release_refused{{release="{broken}"}} 1.0' in await here.get("/metrics")
                shown = (await here.client.get_release(broken)).use
                assert (shown.role, shown.refused_reason) == ("", reason)
            stage.store.roll_back(0, "broken")
            assert stage.active() == good
            await here.until(lambda facts: facts["reason"] == "" and not facts["refused_releases"])
    assert calls.seen() == {good}
    assert calls.degraded == calls.mixed == []


def register_as_it_is(stage: Stage, number: int) -> None:
    """With the manifest that lies in the folder, whatever it is."""
    manifest = json.loads((stage.triton.releases / str(number) / MANIFEST).read_text(encoding="utf-8"))
    stage.triton.register(_Raw(number, manifest), ReleaseState.CANDIDATE)  # type: ignore[arg-type]


class _Raw:
    """A manifest that this software need not be able to read."""

    def __init__(self, release: int, content: dict[str, object]) -> None:
        self.release, self.parent, self._content = release, 0, content

    def to_json(self) -> str:
        return json.dumps(self._content)


async def told(here: Gateway, stage: Stage, broken: int, says: str) -> str:
    """The reason, at the gateway or on the release's record, whoever came first: the agent may have rejected it."""
    reason = ""
    for _ in range(400):
        facts = await here.ready()
        reason = facts["refused_releases"].get(str(broken), "")
        if says in reason or says in stage.store.get_release(broken).reason:
            return reason
        await asyncio.sleep(0.05)
    raise AssertionError((facts, stage.store.get_release(broken)))


async def test_release_show_tells_which_gateway_refuses_a_release_and_why(stage: Stage, gateway: OpenGateway) -> None:
    good = stage.active()
    folder = DataFolder.make(stage.data)
    async with gateway("fussy") as here:
        # Whole for the agent, and not for this gateway: its golden cases are changed afterwards.
        number = stage.publish()
        path = stage.triton.releases / str(number) / "golden.json"
        path.write_text(path.read_text(encoding="utf-8").replace("item-1", "item-2"), encoding="utf-8")
        stage.store.set_release_state(number, ReleaseState.CANARY, canary_fraction=0.5)
        await here.until(lambda facts: str(number) in facts["refused_releases"])
        shown = await asyncio.to_thread(folder.run, "release", "show", str(number))
        assert list(shown["refused_by"]) == ["fussy"]
        assert "golden case" in shown["refused_by"]["fussy"]
        assert shown["ready_at"] == [stage.triton.target]
        # Without a gateway's API, on the store itself.
        ended = await asyncio.to_thread(
            folder.run, "release", "canary", str(number), "--fraction", "0", "--reason", "refused", "--offline"
        )
        assert (ended["state"], ended["reason"]) == ("RETIRED", "refused")
        await here.until(lambda facts: not facts["refused_releases"])
        assert stage.store.list_leases(f"refused/{number}/", clock()) == []
    command = folder.command("release", "canary", str(good), "--fraction", "0.5", "--offline")
    refused = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, cwd=folder.path)
    assert refused.returncode == 1
    assert "is active and answers everybody" in refused.stdout


def fails_on_purchases(folder: Path, manifest: Manifest) -> Manifest:
    """The recommender breaks on histories that hold a purchase, which no golden case has."""
    path = folder / spec.RECOMMENDER / "model.onnx"
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.int32(PURCHASE), "purchase"),
            numpy_helper.from_array(np.int32(1_000_000), "far"),
            numpy_helper.from_array(np.float32(0), "nothing"),
            numpy_helper.from_array(np.zeros(1, np.float32), "one_row"),
        ]
    )
    nodes = [
        helper.make_node("Equal", ["history_types", "purchase"], ["bought_BL"]),
        helper.make_node("Cast", ["bought_BL"], ["bought"], to=TensorProto.INT32),
        helper.make_node("Mul", ["bought", "far"], ["row"]),
        helper.make_node("Gather", ["one_row", "row"], ["gathered"]),
        helper.make_node("ReduceMax", ["gathered"], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "nothing"], ["zero"]),
        helper.make_node("Add", ["quiet_logits", "zero"], ["masked_logits"]),
    ]
    kept = list(model.graph.node)
    place = next(number for number, node in enumerate(kept) if "masked_logits" in node.output)
    kept[place].output[0] = "quiet_logits"
    del model.graph.node[:]
    model.graph.node.extend([*kept[: place + 1], *nodes, *kept[place + 1 :]])
    path.write_bytes(model.SerializeToString())
    return sign(folder, manifest)


def slowly(folder: Path, manifest: Manifest) -> Manifest:
    slow(folder, layers=128)
    return sign(folder, manifest)


@pytest.mark.parametrize(
    ("change", "says"), [(fails_on_purchases, "requests failed"), (slowly, "nine of ten answers take")]
)
async def test_a_canary_that_goes_wrong_ends_itself_and_the_others_notice_nothing(
    stage: Stage, gateway: OpenGateway, change: Change, says: str
) -> None:
    good = stage.active()
    canary = stage.publish(change=change)
    buyers = [f"buyer-{canary}-{number}" for number in range(12)]
    bought = []
    for buyer in buyers:
        event = event_pb2.Event(event_id=f"{buyer}/1", user_id=buyer, item_id="item-1", type=PURCHASE)  # type: ignore[arg-type]
        event.event_time.FromMicroseconds(clock() - 1_000_000)
        bought.append(event)
    stage.store.append(bought)
    # The canary's work takes processors from the active release too, more so on a busy machine.
    limits = CanaryConfig(failures=5, latency_answers=30, latency_ratio=1.3, latency_seconds=0.005, judge_seconds=0.1)
    calls = Callers()
    async with gateway(canary=limits) as here, calls.on(here, each=2):
        await here.client.set_canary(canary, 0.5)
        await here.until(lambda facts: bool(stage.store.list_leases(f"serving/{canary}/", clock())))
        for _ in range(300):
            if stage.store.get_release(canary).state is ReleaseState.RETIRED:
                break
            for buyer in buyers:
                # Answered all the same, by what is trending where the canary's model fails.
                assert (await here.client.recommend(buyer)).recommendations
        record = stage.store.get_release(canary)
        assert record.state is ReleaseState.RETIRED
        assert says in record.reason
        assert "recency_canary_rollbacks_total 1.0" in await here.get("/metrics")
        before = await calls.more(30)
        assert calls.seen(before + 8) == {good}
    assert calls.mixed == []
    if change is slowly:
        assert calls.degraded == []
    assert stage.active() == good
