"""What a real Triton over our configurations and backend answers."""

import asyncio

import numpy as np
import pytest
from tiny_release import ITEMS, item_vectors
from triton_stack import TritonStack

from recency_features import spec
from recency_inference.client import BlockingInference, Inference, RawTensor
from recency_inference.errors import BadRequest, ModelFailed, NotLoaded, TooLate, Unavailable
from recency_inference.warm import Sizes, example_inputs, example_tokens
from recency_store.manifest import Manifest, read_manifest

OUTPUTS = ["item_ids", "logits", "user_vector"]


@pytest.fixture(scope="module")
def manifest(triton: TritonStack) -> Manifest:
    return read_manifest(triton.releases / "1")


async def test_the_recommender_answers_what_its_formula_says(triton: TritonStack, manifest: Manifest) -> None:
    inputs = example_inputs(spec.RECOMMENDER, manifest, 3, np.random.default_rng(5), Sizes(k=10))
    async with Inference(triton.target) as inference:
        out = await inference.infer(spec.RECOMMENDER, 1, inputs, OUTPUTS, 10)
    vectors = item_vectors(1)
    for row in range(3):
        history = inputs["history_ids"][row][inputs["history_ids"][row] >= 0]
        logits = vectors @ vectors[history].mean(axis=0)
        logits[inputs["exclude_ids"][row]] = -np.inf
        best = np.argsort(-logits)[:10]
        assert out["item_ids"][row].tolist() == best.tolist()
        assert np.allclose(out["logits"][row], logits[best], atol=1e-5)
    assert {name: array.dtype.name for name, array in out.items()} == {
        "item_ids": "int32",
        "logits": "float32",
        "user_vector": "float32",
    }


@pytest.mark.parametrize("model", [spec.RECOMMENDER, spec.SCORER])
async def test_a_score_does_not_change_with_its_batch_mates(
    triton: TritonStack, manifest: Manifest, model: str
) -> None:
    """Bit for bit with other mates in a batch of the same size; alone, up to the rounding of another kernel."""
    inputs = example_inputs(model, manifest, 64, np.random.default_rng(6))
    others = example_inputs(model, manifest, 64, np.random.default_rng(7))
    batched = {tensor.name for tensor in spec.INPUTS[model] if tensor.dims[0] == "B"}
    async with Inference(triton.target) as inference:

        async def logits(arrays: dict[str, np.ndarray]) -> np.ndarray:
            return (await inference.infer(model, 1, arrays, ["logits"], 10))["logits"]

        together = await logits(inputs)
        for row in (0, 31, 63):
            for name in batched:
                others[name][row] = inputs[name][row]
            assert np.array_equal((await logits(others))[row], together[row])
            alone = {name: a[row : row + 1] if name in batched else a for name, a in inputs.items()}
            assert np.allclose((await logits(alone))[0], together[row], atol=1e-5)


async def test_a_fresh_item_is_found_and_a_hidden_one_is_not(triton: TritonStack, manifest: Manifest) -> None:
    inputs = example_inputs(spec.RECOMMENDER, manifest, 1, np.random.default_rng(7), Sizes(fresh=2, k=ITEMS + 2))
    inputs["exclude_ids"][:] = spec.PAD
    inputs["steer"][:] = 1.0
    inputs["fresh_vectors"][0] = 100.0
    inputs["item_bias"][ITEMS] = 0.0
    inputs["item_bias"][3] = -np.inf
    async with Inference(triton.target) as inference:
        ids = (await inference.infer(spec.RECOMMENDER, 1, inputs, ["item_ids"], 10))["item_ids"][0].tolist()
    assert ids[0] == ITEMS
    assert 3 not in ids
    assert ids[-2:] == [spec.PAD, spec.PAD]


async def test_bytes_serialised_once_give_the_same_answer_again_and_again(
    triton: TritonStack, manifest: Manifest
) -> None:
    inputs = example_inputs(spec.RECOMMENDER, manifest, 2, np.random.default_rng(8))
    kept = {name: RawTensor.of(array) for name, array in inputs.items()}
    async with Inference(triton.target) as inference:
        plain = await inference.infer(spec.RECOMMENDER, 1, inputs, OUTPUTS, 10)
        for _ in range(2):
            raw = await inference.infer(spec.RECOMMENDER, 1, kept, OUTPUTS, 10)
            assert all(np.array_equal(plain[name], raw[name]) for name in OUTPUTS)


async def test_texts_that_triton_batches_together_get_the_vectors_they_get_alone(triton: TritonStack) -> None:
    rng = np.random.default_rng(9)
    texts = [{**example_tokens(1, 16), "input_ids": rng.integers(0, 64, (1, 16))} for _ in range(40)]
    async with Inference(triton.target) as inference:

        async def encode(tokens: dict[str, np.ndarray]) -> np.ndarray:
            return (await inference.infer(spec.TEXT_ENCODER, 1, tokens, ["text_vector"], 20))["text_vector"]

        alone = [await encode(tokens) for tokens in texts]
        together = await asyncio.gather(*(encode(tokens) for tokens in texts))
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(alone, together, strict=True))


async def test_each_refusal_says_what_the_caller_does_next(triton: TritonStack, manifest: Manifest) -> None:
    inputs = example_inputs(spec.RECOMMENDER, manifest, 1, np.random.default_rng(1))
    async with Inference(triton.target) as inference:
        with pytest.raises(NotLoaded):
            await inference.infer(spec.RECOMMENDER, 999, inputs, OUTPUTS, 5)
        with pytest.raises(NotLoaded):
            await inference.infer("nothing", 1, inputs, OUTPUTS, 5)
        with pytest.raises(BadRequest):
            await inference.infer(spec.RECOMMENDER, 1, {**inputs, "k": np.array([1], np.int32)}, OUTPUTS, 5)
        with pytest.raises(BadRequest):
            await inference.infer(spec.RECOMMENDER, 1, {n: a for n, a in inputs.items() if n != "k"}, OUTPUTS, 5)
        with pytest.raises(ModelFailed):
            await inference.infer(spec.RECOMMENDER, 1, {**inputs, "steer": np.zeros((1, 3), np.float32)}, OUTPUTS, 5)
        with pytest.raises(TooLate):
            await inference.infer(spec.RECOMMENDER, 1, inputs, OUTPUTS, 0)
        assert await inference.ready(spec.RECOMMENDER, 1)
        assert not await inference.ready(spec.RECOMMENDER, 999)


async def test_nobody_at_the_address_is_unavailable_at_once() -> None:
    async with Inference("127.0.0.1:1") as inference:
        with pytest.raises(Unavailable):
            await inference.infer(spec.TEXT_ENCODER, 1, example_tokens(1, 16), ["text_vector"], 5)
        assert not await inference.ready(spec.TEXT_ENCODER, 1)


def test_the_blocking_call_gives_the_same_answer(triton: TritonStack, manifest: Manifest) -> None:
    with BlockingInference(triton.target) as inference:
        out = inference.infer(
            spec.SCORER, 1, example_inputs(spec.SCORER, manifest, 1, np.random.default_rng(1)), ["logits"], 10
        )
    assert out["logits"].shape == (1, 100)
