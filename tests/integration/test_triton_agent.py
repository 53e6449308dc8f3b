"""The agent over a real Triton: swaps, refusals, removal, restarts."""

import asyncio
import os
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_release import item_vectors
from triton_stack import TritonStack, clock, eventually

from recency_features import spec
from recency_inference.client import BlockingInference, Inference
from recency_inference.control import TritonControl
from recency_inference.errors import InferenceError
from recency_inference.wanted import ready_lease, serving_lease
from recency_inference.warm import example_inputs
from recency_store.manifest import file_entry, read_manifest
from recency_store.records import ReleaseState

HOUR_MICROS = 3_600 * 1_000_000


def loaded(stack: TritonStack, model: str = spec.RECOMMENDER) -> set[int]:
    with TritonControl(stack.target) as control:
        return set(control.loaded().get(model, ()))


def state(stack: TritonStack, release: int) -> ReleaseState:
    return stack.store.get_release(release).state


def one_history(stack: TritonStack) -> dict[str, np.ndarray]:
    inputs = example_inputs(spec.RECOMMENDER, read_manifest(stack.releases / "1"), 1, np.random.default_rng(2))
    inputs["history_ids"][:] = spec.PAD
    inputs["history_ids"][0, -1] = 5
    return inputs


def processes(data: Path) -> list[str]:
    """Processes (not yet reaped ones left out) that name the stack's folder."""
    listed = subprocess.run(["ps", "-eo", "stat=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(data) in line and not line.startswith("Z")]


def server_pid(data: Path) -> int:
    found = subprocess.run(["pgrep", "-f", f"tritonserver.*{data}"], capture_output=True, text=True, check=False).stdout
    return int(found.split()[0]) if found else 0


async def test_versions_are_swapped_under_callers_without_an_error(triton: TritonStack) -> None:
    inputs, answers, errors = one_history(triton), [], []
    serving, done = [1], asyncio.Event()
    # As a gateway holds what it may go back to: without it the agent lets the first release go once two newer have served.
    assert triton.store.acquire_lease(serving_lease(1, "callers"), "callers", HOUR_MICROS, clock())

    async def caller(inference: Inference) -> None:
        while not done.is_set():
            version = serving[0]
            try:
                out = await inference.infer(spec.RECOMMENDER, version, inputs, ["user_vector"], 20)
            except InferenceError as error:
                errors.append(error)
            else:
                answers.append(bool(np.allclose(out["user_vector"][0], item_vectors(version)[5], atol=1e-5)))

    async with Inference(triton.target) as inference, asyncio.TaskGroup() as callers:
        for _ in range(4):
            callers.create_task(caller(inference))
        for release in (11, 12):
            await asyncio.to_thread(triton.publish, release)
            await asyncio.to_thread(triton.wait_ready, release)
            triton.store.set_release_state(release, ReleaseState.ACTIVE)
            serving[0] = release
            await asyncio.sleep(0.5)
        triton.store.set_release_state(1, ReleaseState.ACTIVE)
        serving[0] = 1
        await asyncio.sleep(0.5)
        done.set()
    assert errors == []
    assert len(answers) > 50
    assert all(answers)


def test_a_corrupt_release_is_rejected_with_its_checksum_while_the_old_one_serves(triton: TritonStack) -> None:
    manifest = triton.publish(20, ReleaseState.CANDIDATE)
    triton.wait_ready(20)
    shutil.copytree(triton.releases / "20", triton.releases / "21")
    bad = triton.releases / "21" / "recommender" / "items.bin"
    bad.write_bytes(bytes(len(bad.read_bytes())))
    broken = replace(manifest, release=21, model_versions=dict.fromkeys(manifest.model_versions, 21))
    (triton.releases / "21" / "manifest.json").write_text(broken.to_json(), encoding="utf-8")
    triton.register(broken, ReleaseState.CANDIDATE)
    eventually(lambda: state(triton, 21) is ReleaseState.REJECTED, "the corrupt release is rejected")
    reason = triton.store.get_release(21).reason
    assert "recommender/items.bin" in reason
    assert "checksum" in reason
    assert not (triton.data / "triton/repository/recommender/21").exists()
    assert triton.is_ready(1)
    assert 1 in loaded(triton)


def test_a_release_that_triton_cannot_load_is_rejected_with_tritons_reason(triton: TritonStack) -> None:
    folder = triton.releases / "22"
    shutil.copytree(triton.releases / "1", folder)
    (folder / "recommender" / "model.onnx").write_bytes(b"not a model")
    manifest = read_manifest(folder)
    files = {**manifest.files, "recommender/model.onnx": file_entry(folder / "recommender/model.onnx")}
    broken = replace(manifest, release=22, files=files, model_versions=dict.fromkeys(manifest.model_versions, 22))
    (folder / "manifest.json").write_text(broken.to_json(), encoding="utf-8")
    triton.register(broken, ReleaseState.CANDIDATE)
    eventually(lambda: state(triton, 22) is ReleaseState.REJECTED, "the release is rejected")
    assert "recommender" in triton.store.get_release(22).reason
    eventually(lambda: not (triton.data / "triton/repository/recommender/22").exists(), "its folder is gone")
    assert loaded(triton) >= {1}
    assert triton.is_ready(1)


def test_what_is_not_wanted_is_unloaded_and_removed_and_what_a_gateway_uses_is_not(triton: TritonStack) -> None:
    triton.publish(31)
    triton.wait_ready(31)
    lease = triton.store.acquire_lease(serving_lease(31, "gateway-a"), "gateway-a", HOUR_MICROS, clock())
    assert lease is not None
    triton.store.set_release_state(31, ReleaseState.REJECTED, "for the test")
    triton.publish(32)
    triton.wait_ready(32)
    assert 31 in loaded(triton)
    triton.store.release_lease(lease)
    eventually(lambda: 31 not in loaded(triton), "31 is unloaded")
    eventually(lambda: not (triton.data / "triton/repository/recommender/31").exists(), "its folder is gone")
    assert not triton.is_ready(31)
    triton.store.set_release_state(32, ReleaseState.REJECTED, "for the test")
    eventually(lambda: 32 not in loaded(triton), "32 is unloaded")
    assert triton.is_ready(1)


def test_a_release_that_keeps_the_language_model_loads_its_own_versions_beside_it(triton: TritonStack) -> None:
    triton.publish(41, text_encoder=1)
    triton.wait_ready(41)
    assert 41 in loaded(triton)
    assert 41 not in loaded(triton, spec.TEXT_ENCODER)
    triton.store.set_release_state(41, ReleaseState.REJECTED, "for the test")


def test_a_killed_triton_or_stub_comes_back_with_what_is_wanted_and_a_clean_stop_leaves_nothing(
    own_triton: TritonStack,
) -> None:
    own_triton.publish(1, ReleaseState.ACTIVE)
    own_triton.start()
    repository = own_triton.data / "triton" / "repository"
    # As a killed agent would leave them: half a version in staging, and a whole one that nobody wants.
    (own_triton.data / "triton" / "staging" / "recommender-9").mkdir(parents=True)
    shutil.copytree(repository / "recommender" / "1", repository / "recommender" / "8")
    (repository / "recommender" / "8" / "model.onnx").unlink()

    killed = server_pid(own_triton.data)
    # In a session of its own nothing in it would give way to a gateway (Linux autogroups).
    assert os.getsid(killed) == os.getsid(0)
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: not own_triton.is_ready(1), "it is not called ready any more")
    own_triton.wait_ready(1)
    assert server_pid(own_triton.data) != killed
    assert loaded(own_triton) == {1}
    assert {path.name for path in (repository / "recommender").iterdir()} == {"1", "config.pbtxt"}
    with BlockingInference(own_triton.target) as inference:
        out = inference.infer(spec.RECOMMENDER, 1, one_history(own_triton), ["user_vector"], 10)
    assert np.allclose(out["user_vector"][0], item_vectors(1)[5], atol=1e-5)

    # This wheel's server never starts a killed stub again: its model would stay silent.
    stubs = [line for line in stub_processes(own_triton.data) if "recommender" in line]
    os.kill(int(stubs[0].split()[0]), signal.SIGKILL)
    eventually(lambda: not own_triton.is_ready(1), "the loss is noticed")
    own_triton.wait_ready(1)
    with BlockingInference(own_triton.target) as inference:
        for _ in range(4):
            inference.infer(spec.RECOMMENDER, 1, one_history(own_triton), ["logits"], 10)

    own_triton.stop()
    eventually(lambda: not processes(own_triton.data), "no process is left", seconds=5)
    assert own_triton.store.list_leases(ready_lease(1, own_triton.target), clock()) == []
    assert own_triton.store.list_leases("agent/", clock()) == []


def test_a_triton_or_a_stub_that_hangs_is_killed_and_started_again(own_triton: TritonStack) -> None:
    own_triton.publish(1, ReleaseState.ACTIVE)
    own_triton.hung_seconds = 2.0
    own_triton.start()
    hung = server_pid(own_triton.data)
    os.kill(hung, signal.SIGSTOP)
    eventually(lambda: not own_triton.is_ready(1), "it is not called ready any more")
    own_triton.wait_ready(1)
    again = server_pid(own_triton.data)
    assert again != hung
    assert loaded(own_triton) == {1}

    # One that is alive and does nothing: the server says that all is well.
    stubs = [line for line in stub_processes(own_triton.data) if "scorer" in line]
    os.kill(int(stubs[0].split()[0]), signal.SIGSTOP)
    eventually(lambda: server_pid(own_triton.data) != again, "the stub is noticed")
    own_triton.wait_ready(1)


def test_an_empty_triton_is_healthy_and_files_that_went_bad_while_it_was_down_are_not_loaded(
    own_triton: TritonStack,
) -> None:
    own_triton.start()
    assert loaded(own_triton) == set()
    own_triton.publish(1, ReleaseState.ACTIVE)
    own_triton.publish(2, ReleaseState.CANDIDATE, text_encoder=1)
    own_triton.wait_ready(2)
    own_triton.stop()
    # The staged file is the same file: hard links share what went bad.
    items = own_triton.releases / "2" / "items.bin"
    items.write_bytes(bytes(items.stat().st_size))
    own_triton.start()
    assert state(own_triton, 2) is ReleaseState.REJECTED
    assert loaded(own_triton) == {1}


def stub_processes(data: Path) -> list[str]:
    listed = subprocess.run(
        ["pgrep", "-af", f"backend_stub.*{data}"], capture_output=True, text=True, check=True
    ).stdout
    return listed.splitlines()


@pytest.mark.parametrize("active_is", ["corrupt", "missing"])
def test_an_active_release_that_cannot_be_used_is_not_listed_as_usable(own_triton: TritonStack, active_is: str) -> None:
    own_triton.publish(1, ReleaseState.ACTIVE)
    if active_is == "corrupt":
        (own_triton.releases / "1" / "item_ids.json").write_text("[]", encoding="utf-8")
    else:
        shutil.rmtree(own_triton.releases / "1")
    own_triton.start()
    assert state(own_triton, 1) is ReleaseState.REJECTED
    assert str(own_triton.releases / "1") in own_triton.store.get_release(1).reason
    assert loaded(own_triton) == set()
