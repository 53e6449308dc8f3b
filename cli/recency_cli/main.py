"""The one command, `recency`. A command group a file; what a command needs is imported when it runs, so that help is
quick and the gateway never loads torch."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from recency_cli.context import Options

# Groups with commands of their own below them; and modules that add single commands to the top.
GROUPS = ("config", "import", "export", "release", "user", "policy", "review", "report", "audit", "bench")
MODULES = {
    "config": "show",
    "import": "importing",
    "export": "exporting",
    "release": "releases",
    "user": "people",
    "policy": "policy",
    "report": "reporting",
    "review": "reviewing",
    "audit": "auditing",
    "bench": "bench",
}
SINGLE = ("demo", "up", "serving", "asking", "doctor")

app = typer.Typer(
    name="recency",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Recommendations that never go stale.\n\n"
    "Exit codes: 0 done, 1 failed, 2 called or configured wrongly, 3 gateway not reachable, 4 something is to be made "
    "or installed first, 130 interrupted. Every command takes --json.",
    epilog="Start with: recency demo",
)


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="Configuration file (default: recency.toml here, if there is one).")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Data folder (default: data.path, ./data).")] = None,
) -> None:
    """Options of every command."""
    context.obj = Options(config, data)


for _name in SINGLE:
    importlib.import_module(f"recency_cli.{_name}").add_to(app)
for _name in GROUPS:
    app.add_typer(importlib.import_module(f"recency_cli.{MODULES[_name]}").app, name=_name)


def main() -> None:
    """Runs the command; errors become one line with its remedy and an exit code."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        from recency_cli.config import debugging
        from recency_cli.outcome import report

        if debugging():
            raise

        sys.exit(report(error, as_json="--json" in sys.argv))
