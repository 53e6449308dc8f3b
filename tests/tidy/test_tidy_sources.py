"""House rules that a reader would otherwise have to check: names, lengths, places, machine paths."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("client", "store", "features", "inference", "server", "export", "cli", "benchmarks", "examples")
BANNED_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "managers", "base", "misc"})
MOST_FILE_LINES = 300
MOST_FUNCTION_LINES = 60
# What is longer, and why. Take a line out when it is no longer true.
LONG_FILES = {
    "store/recency_store/memory.py": "the reference model of the whole protocol, to be read beside it in one piece",
    "store/recency_store/sqlite/store.py": "the whole protocol over SQLite, a few lines a method, in the protocol's order",
    "export/recency_export/dataset.py": "every as-of array of training, in one place so that none looks ahead",
}
LONG_FUNCTIONS: dict[str, str] = {}
# Hosts of package indexes and registries, and folders of one machine, spelt so that this file does not hold them.
MACHINE = re.compile(
    "|".join(
        [
            "/wo" + "rk/",
            "/ro" + "ot/",
            "/ho" + "me/[a-z]",
            r"py" + r"pi\.org",
            r"pytho" + r"nhosted",
            r"registry\.np" + "mjs",
        ]
    )
)
BINARY = {".png", ".npy", ".npz", ".onnx", ".parquet", ".db", ".bin"}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


def sources() -> list[Path]:
    return [
        p for p in tracked() if p.suffix == ".py" and p.relative_to(ROOT).parts[0] in PACKAGES and "v1" not in p.parts
    ]


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [str(p) for p in sources() if BANNED_NAMES & {p.stem, *p.relative_to(ROOT).parts[:-1]}] == []


def test_files_are_short_or_say_why() -> None:
    long = {str(p.relative_to(ROOT)) for p in sources() if len(p.read_text().splitlines()) > MOST_FILE_LINES}
    assert long <= set(LONG_FILES)


def test_functions_are_short_or_say_why() -> None:
    long = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                assert node.end_lineno is not None
                if node.end_lineno - node.lineno >= MOST_FUNCTION_LINES:
                    long.add(f"{path.relative_to(ROOT)}:{node.name}")
    assert long <= set(LONG_FUNCTIONS)


def test_no_tracked_file_names_a_machine_or_a_registry() -> None:
    found = []
    for path in tracked():
        if path.suffix in BINARY or path.name == "LICENSE":
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if MACHINE.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert found == []


def test_no_task_is_started_and_forgotten() -> None:
    loose = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"asyncio\.create_task\(|ensure_future\(", line)
    ]
    assert loose == []


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_every_promise_has_a_marked_test(number: int) -> None:
    mark = f"pytest.mark.promise({number}" + ")"
    assert any(mark in p.read_text() for p in (ROOT / "tests").rglob("*.py") if p != Path(__file__))
