from pathlib import Path

import pytest

from recency_cli.config import DEFAULT, load
from recency_cli.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    (folder / "recency.toml").write_text(text)
    return folder


def test_without_a_file_or_variables_every_key_has_its_default(tmp_path: Path) -> None:
    settings = load(None, {}, tmp_path)
    assert {setting.origin for setting in settings} == {DEFAULT}
    assert settings.store == Path("data/store.db")
    assert settings.triton().grpc_port == 8001
    assert settings.gateway().grpc_address == "127.0.0.1:50051"
    assert settings.export().workspace == Path("data/workspace")


def test_the_file_overrides_defaults_and_a_variable_overrides_the_file(tmp_path: Path) -> None:
    write(tmp_path, "[triton]\ngrpc_port = 9001\nhttp_port = 9000\n[export.train]\nepochs = 3\n")
    settings = load(None, {"RECENCY_TRITON_HTTP_PORT": "9009"}, tmp_path)
    origins = {setting.key.path: setting.origin for setting in settings}
    assert settings.triton().grpc_port == 9001
    assert settings.triton().http_port == 9009
    assert settings.export().train.epochs == 3
    assert origins["triton.grpc_port"] == str(tmp_path / "recency.toml")
    assert origins["triton.http_port"] == "RECENCY_TRITON_HTTP_PORT"


def test_a_relative_path_in_a_file_is_meant_from_the_files_own_folder(tmp_path: Path) -> None:
    assert load(None, {}, write(tmp_path, '[data]\npath = "here"\n')).store == tmp_path / "here" / "store.db"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[triton]\ngrpc_prot = 1\n", "unknown key triton.grpc_prot; did you mean triton.grpc_port?"),
        ("[tritton]\ngrpc_port = 1\n", "did you mean triton.grpc_port?"),
        ("grpc_port = 1\n", "unknown key grpc_port"),
        ('[triton]\ngrpc_port = "x"\n', "triton.grpc_port: 'x' is not a whole number"),
        ("[triton]\ngrpc_port = true\n", "triton.grpc_port: True is not a whole number"),
        ("[gateway]\nrecommend_calls = 0\n", "recommend_calls is 0; it must be at least 1"),
        ('[gateway.recommend]\nexclude_seen = "maybe"\n', "is not one of auto, always, never"),
        ("[triton\n", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=r"recency\.toml|\[gateway\]") as caught:
        load(None, {}, write(tmp_path, text)).gateway()
    assert words in str(caught.value)


def test_an_unknown_or_wrong_variable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean RECENCY_TRITON_GRPC_PORT"):
        load(None, {"RECENCY_TRITON_GRPC_PROT": "1"}, tmp_path)
    with pytest.raises(ConfigError, match="RECENCY_EXPORT_SEED: 'one' is not a whole number"):
        load(None, {"RECENCY_EXPORT_SEED": "one"}, tmp_path)


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load(tmp_path / "other.toml", {}, tmp_path)


def test_options_override_everything_and_none_leaves_a_key_alone(tmp_path: Path) -> None:
    settings = load(None, {"RECENCY_EXPORT_SEED": "4"}, tmp_path)
    changed = settings.changed({"export.seed": 5, "triton.grpc_port": None}, "option")
    assert (changed["export.seed"], changed["triton.grpc_port"], settings["export.seed"]) == (5, 8001, 4)


def test_a_table_is_set_by_file_and_by_variable(tmp_path: Path) -> None:
    write(tmp_path, '[triton.variables]\nCUDA_VISIBLE_DEVICES = "0"\n')
    assert load(None, {}, tmp_path).triton().variables == {"CUDA_VISIBLE_DEVICES": "0"}
    environment = {"RECENCY_TRITON_VARIABLES": "A=1,B=2"}
    assert load(None, environment, tmp_path).triton().variables == {"A": "1", "B": "2"}
