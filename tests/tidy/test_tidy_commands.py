"""Every command explains itself: help, an example, and a word on each option."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from recency_cli.main import app


def commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands(typer.main.get_command(app), "recency"))
PROMISED = (
    "demo", "up", "serve", "triton", "import items", "import events", "export bootstrap", "recommend", "feedback",
    "release list", "release show", "release activate", "release canary", "release rollback", "release shadow",
    "release watch", "bench freshness", "bench load", "bench quality", "config show", "doctor",
)  # fmt: skip


def test_every_promised_command_is_there() -> None:
    assert {f"recency {name}" for name in PROMISED} <= set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_has_help_an_example_and_json(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert len(command.help) > 20
    assert command.epilog
    assert f"{name}" in command.epilog, "its example must call it"
    options = {option for parameter in command.params for option in parameter.opts}
    assert "--json" in options


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_says_what_it_is_for(name: str) -> None:
    silent = [
        parameter.name
        for parameter in COMMANDS[name].params
        if parameter.param_type_name == "option" and not parameter.hidden and not parameter.help
    ]
    assert silent == []
