"""The project's own files: what set-up, containers and hooks say must be true."""

import re
import stat
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=\[ ]", text)[0].lower().replace("_", "-") for text in requirements}


def locked(file: str) -> set[str]:
    lines = [line for line in (ROOT / "requirements" / file).read_text().splitlines() if line and line[0] != "#"]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._]+", line) for line in lines), f"{file} pins by == alone"
    return {line.partition("==")[0].lower().replace("_", "-") for line in lines}


def test_the_lock_holds_everything_that_pyproject_asks_for() -> None:
    asked = project()["project"]
    wanted = names(asked["dependencies"]) | {
        n for extra in asked["optional-dependencies"].values() for n in names(extra)
    }
    assert wanted - {"recency"} <= locked("main.lock")


def test_every_lock_pins_and_names_no_index() -> None:
    for lock in (ROOT / "requirements").glob("*.lock"):
        assert locked(lock.name)


def test_the_base_distribution_brings_no_training_packages() -> None:
    assert names(project()["project"]["dependencies"]).isdisjoint({"torch", "transformers", "onnx", "onnxruntime"})


def test_compose_runs_the_official_triton_and_a_service_for_each_part_of_ours() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert {"triton", "agent", "gateway", "learner", "exporter"} <= set(services)
    assert "tritonserver" in services["triton"]["image"]
    for service in services.values():
        for command in [service.get("build", {}).get("dockerfile", "")]:
            assert not command or (ROOT / command).is_file()


def test_hooks_run_what_make_check_runs() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    makefile = (ROOT / "Makefile").read_text()
    for hook in hooks:
        tool = hook["entry"].split()[0].removeprefix(".venv/bin/")
        assert f"$(BIN)/{tool}" in makefile


def test_scripts_can_be_run() -> None:
    for script in (ROOT / ".ci" / "run", *(ROOT / "scripts").iterdir()):
        assert script.stat().st_mode & stat.S_IXUSR, script
