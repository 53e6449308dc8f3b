"""The configurations for a GPU differ from the committed ones in what they say they do, and in nothing else."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from recency_export.tensorrt_profiles import accelerator_parameters, any_release_ranges
from recency_features import spec
from recency_inference.repository import find_model_repository

VARIANTS = Path(__file__).parents[2] / "deploy" / "model_repository"
MODELS = sorted(spec.INPUTS)


def read(folder: Path, model: str):
    text = (folder / model / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, model_config_pb2.ModelConfig())


@pytest.mark.parametrize("model", MODELS)
def test_the_accelerated_variant_is_the_committed_one_with_tensorrt(model: str) -> None:
    config, plain = read(VARIANTS / "accelerated", model), read(find_model_repository(None), model)
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert accelerator.parameters["trt_engine_cache_enable"] == "1"
    assert accelerator.parameters["trt_engine_cache_path"] == "/engines"
    assert accelerator.parameters["precision_mode"] == "FP16"
    shapes = {name: value for name, value in accelerator.parameters.items() if name.endswith("_shapes")}
    assert shapes == accelerator_parameters(model, any_release_ranges(100_000, 128))
    config.ClearField("optimization")
    assert [group.kind for group in config.instance_group] == [model_config_pb2.ModelInstanceGroup.KIND_GPU]
    config.instance_group[0].kind = model_config_pb2.ModelInstanceGroup.KIND_AUTO
    assert config == plain


@pytest.mark.parametrize("model", MODELS)
def test_the_plan_variant_is_the_committed_one_with_a_plan(model: str) -> None:
    config, plain = read(VARIANTS / "plan", model), read(find_model_repository(None), model)
    assert (config.platform, config.backend, config.default_model_filename) == ("tensorrt_plan", "", "model.plan")
    assert list(config.instance_group[0].profile) == ["0"]
    config.platform, config.backend, config.default_model_filename = "", "onnxruntime", "model.onnx"
    # Sessions are onnxruntime's.
    assert not config.parameters
    plain.ClearField("parameters")
    for tensor in config.input:
        assert tensor.is_shape_tensor == (tensor.name == "k")
        tensor.is_shape_tensor = False
    config.instance_group[0].ClearField("profile")
    config.instance_group[0].kind = model_config_pb2.ModelInstanceGroup.KIND_AUTO
    assert config == plain


@pytest.mark.parametrize("variant", ["accelerated", "plan"])
def test_a_variant_is_chosen_by_the_setting_of_the_model_repository(variant: str) -> None:
    assert find_model_repository(VARIANTS / variant) == VARIANTS / variant
