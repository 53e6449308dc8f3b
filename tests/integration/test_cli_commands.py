"""The command line as scripts and people call it: one process a call, exit codes, JSON, one line an error."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def recency(tmp_path: Path) -> Any:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RECENCY_")}

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "recency_cli", "--data", str(tmp_path / "data"), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env={**kept, **variables}, timeout=100, check=False
        )

    return run


def test_a_shop_is_imported_twice_and_counted_once(recency: Any, tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text("sku,title,price\nx1,Red chair,49.9\nx2,Blue table,120\n")
    (tmp_path / "clicks.csv").write_text("user_id,item_id,time\nann,x1,2025-01-01T10:00:00Z\n")
    first = recency("import", "items", "shop.csv", "--map", "sku=item_id", "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout) == {"rows": 2, "written": 2, "unchanged": 0, "dry_run": False}
    assert json.loads(recency("import", "events", "clicks.csv", "--json").stdout)["written"] == 1
    assert json.loads(recency("import", "events", "clicks.csv", "--json").stdout)["unchanged"] == 1


def test_a_malformed_file_is_one_readable_line_a_problem_and_exit_code_one(recency: Any, tmp_path: Path) -> None:
    (tmp_path / "clicks.csv").write_text("user_id,item_id,time\nann,x1,soon\n")
    done = recency("import", "events", "clicks.csv")
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "clicks.csv:2: time: 'soon' is not a time; write 2026-01-31T12:00:00Z, or seconds or milliseconds since 1970"
    )
    assert "Traceback" not in done.stderr


def test_a_gateway_that_is_not_there_is_exit_code_three_with_its_address(recency: Any) -> None:
    done = recency("recommend", "1", "--address", "127.0.0.1:1")
    assert done.returncode == 3
    assert "127.0.0.1:1 does not answer" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_unknown_variable_is_exit_code_two(recency: Any) -> None:
    done = recency("config", "show", RECENCY_TRITON_GRPC_PROT="1")
    assert done.returncode == 2
    assert "did you mean RECENCY_TRITON_GRPC_PORT?" in done.stderr


def test_config_show_names_values_and_where_they_came_from(recency: Any) -> None:
    shown = json.loads(recency("config", "show", "--set", "--json", RECENCY_EXPORT_SEED="7").stdout)
    assert shown["export.seed"] == {"value": 7, "origin": "RECENCY_EXPORT_SEED", "variable": "RECENCY_EXPORT_SEED"}


def test_releases_of_an_empty_store_are_an_empty_list(recency: Any) -> None:
    assert json.loads(recency("release", "list", "--json").stdout) == []
    assert recency("release", "show").returncode == 4


def test_doctor_names_a_remedy_for_everything_that_is_missing(recency: Any) -> None:
    done = recency("doctor", "--no-start", "--json", RECENCY_TRITON_ENVIRONMENT="/nowhere")
    checks = {check["check"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 4
    assert checks["Python"]["ok"]
    assert not checks["Triton's wheel and Python library"]["ok"]
    assert "make setup" in checks["Triton's wheel and Python library"]["remedy"]
