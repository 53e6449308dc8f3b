"""The committed `config.pbtxt` files, read with Triton's own message type."""

from pathlib import Path

import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from recency_features import spec
from recency_inference.control import config_naming
from recency_inference.errors import TritonMissing
from recency_inference.repository import find_model_repository

MODELS = sorted(spec.INPUTS)


def read(model: str):
    path = find_model_repository(None) / model / "config.pbtxt"
    return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())


def triple(tensor) -> tuple[str, str, list[int]]:
    return tensor.name, model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_"), list(tensor.dims)


def expected(tensor: spec.Tensor, model: str) -> tuple[str, str, list[int]]:
    # Triton adds the batch dimension of a model that it batches itself.
    dims = tensor.dims[1:] if model == spec.TEXT_ENCODER else tensor.dims
    return tensor.name, tensor.datatype, [dim if isinstance(dim, int) else -1 for dim in dims]


@pytest.mark.parametrize("model", MODELS)
def test_a_configuration_says_what_the_table_of_tensors_says(model: str) -> None:
    config = read(model)
    assert sorted(triple(t) for t in config.input) == sorted(expected(t, model) for t in spec.INPUTS[model])
    assert sorted(triple(t) for t in config.output) == sorted(expected(t, model) for t in spec.OUTPUTS[model])


@pytest.mark.parametrize("model", MODELS)
def test_a_configuration_loads_what_is_on_disk_in_both_kinds_of_triton(model: str) -> None:
    config = read(model)
    assert config.name == model
    assert (config.backend, config.platform, config.default_model_filename) == ("onnxruntime", "", "model.onnx")
    assert config.version_policy.WhichOneof("policy_choice") == "all"
    assert len(config.instance_group) == 1
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_AUTO


def test_only_the_text_encoder_is_batched_by_triton() -> None:
    assert {model: read(model).max_batch_size for model in MODELS} == {
        "recommender": 0,
        "scorer": 0,
        "text_encoder": 64,
    }
    assert read("text_encoder").HasField("dynamic_batching")
    assert not read("recommender").HasField("dynamic_batching")


def test_a_load_names_its_versions_and_changes_nothing_else() -> None:
    path = find_model_repository(None) / "recommender" / "config.pbtxt"
    named = text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    loaded = json_format.Parse(config_naming(path, [9, 8]), model_config_pb2.ModelConfig())
    assert list(loaded.version_policy.specific.versions) == [8, 9]
    loaded.version_policy.CopyFrom(named.version_policy)
    assert loaded == named


def test_every_configuration_explains_itself() -> None:
    for model in MODELS:
        lines = (find_model_repository(None) / model / "config.pbtxt").read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("# ")


def test_a_missing_model_repository_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(TritonMissing, match=r"triton\.model_repository"):
        find_model_repository(tmp_path)
