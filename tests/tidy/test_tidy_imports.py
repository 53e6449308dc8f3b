"""What must not be imported, looked at in a process of its own."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers")


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import recency_server.gateway, recency_server.services.recommendation",
        "import recency_inference.run",
        "import recency_export, recency_export.settings, recency_export.importer",
        "import recency_cli.main, recency_cli.config; recency_cli.config.load(None, {})",
    ],
)
def test_serving_importing_and_the_command_line_load_no_torch(statement: str) -> None:
    assert modules_after(statement).isdisjoint(HEAVY)


def test_help_imports_nothing_that_only_commands_need() -> None:
    loaded = modules_after("import recency_cli.main")
    assert loaded.isdisjoint({*HEAVY, "numpy", "grpc", "pyarrow", "recency_server", "recency_export"})


def test_the_client_needs_its_three_packages_only() -> None:
    loaded = modules_after("import recency, recency.client, recency.aio")
    assert loaded.isdisjoint({*HEAVY, "numpy", "recency_store", "recency_features", "typer", "structlog"})
