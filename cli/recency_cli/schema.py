"""Frozen dataclasses → configuration keys, generically: a field added to a config is a key from then on.

A key is its path with dots (`triton.grpc_port`, `export.train.epochs`); its variable is `RECENCY_TRITON_GRPC_PORT`.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


class Place(str):
    """A folder: a path, or a URL."""

    __slots__ = ()

    @property
    def folder(self) -> Path | None:
        """The folder, None for a URL that names none."""
        if self.startswith("file://"):
            return Path(unquote(urlsplit(self).path))
        return None if "://" in self else Path(self)


_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    Place: "a path or a URL",
}


class WrongValue(Exception):
    """A value that is not what its key takes; the message says what it takes."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its path, the type of its value, and its default."""

    path: str
    kind: Any
    default: Any

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return "RECENCY_" + self.path.upper().replace(".", "_")


def keys_of(config: type, prefix: str, derived: Collection[str] = ()) -> Iterator[Key]:
    """The keys of a config class, those of nested ones included; `derived` names the paths that are no keys."""
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        path, kind = f"{prefix}.{field.name}", hints[field.name]
        if path in derived:
            continue
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            yield from keys_of(kind, path, derived)
            continue
        made = field.default_factory
        default = field.default if made is dataclasses.MISSING else made()
        if default is dataclasses.MISSING:
            raise TypeError(f"{path} ({config.__name__}) has no default: give it one, or derive it in config.py")
        describe(kind)  # a field of a type that no file can hold is found here, by the first test that runs
        yield Key(path, kind, default)


def build(config: type, prefix: str, values: Mapping[str, Any], derived: Mapping[str, Any]) -> Any:
    """The config object from the values by key, with `derived` for the paths that are no keys."""
    hints = typing.get_type_hints(config)
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        path, kind = f"{prefix}.{field.name}", hints[field.name]
        if path in derived:
            arguments[field.name] = derived[path]
        elif dataclasses.is_dataclass(kind) and isinstance(kind, type):
            arguments[field.name] = build(kind, path, values, derived)
        else:
            arguments[field.name] = values[path]
    return config(**arguments)


def describe(kind: Any) -> str:
    """What a value of this type is, in words."""
    if kind in _WORDS:
        return _WORDS[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (types.UnionType, typing.Union) and len(arguments) == 2 and type(None) in arguments:
        return describe(_inner(kind)) + ", or nothing"
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return "a list, each " + describe(arguments[0])
    if is_table(kind):
        return "a table of names, each with " + describe(arguments[1])
    raise TypeError(f"a configuration field cannot be {kind}; use a number, text, path, Literal, tuple of them or None")


def is_table(kind: Any) -> bool:
    """Whether the value of such a key is itself a table (names of the caller's own choosing)."""
    return typing.get_origin(kind) is Mapping and typing.get_args(kind)[0] is str


def _inner(kind: Any) -> Any:
    return next(argument for argument in typing.get_args(kind) if argument is not type(None))


def from_file(kind: Any, value: Any, folder: Path) -> Any:
    """A value of a TOML file as `kind`; a relative path is meant from the file's own folder."""
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        return None if value == "" else from_file(_inner(kind), value, folder)
    if origin is tuple and isinstance(value, list):
        return tuple(from_file(typing.get_args(kind)[0], entry, folder) for entry in value)
    if is_table(kind) and isinstance(value, dict):
        return {name: from_file(typing.get_args(kind)[1], entry, folder) for name, entry in value.items()}
    if origin is typing.Literal and value in typing.get_args(kind):
        return value
    if kind is Path and isinstance(value, str):
        return folder / Path(value).expanduser()
    if kind is Place and isinstance(value, str):
        return Place(value if "://" in value else folder / Path(value).expanduser())
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if kind in (int, bool, str) and type(value) is kind:
        return value
    raise WrongValue(f"{value!r} is not {describe(kind)}")


def from_text(kind: Any, text: str) -> Any:
    """The text of an environment variable as `kind`. Entries of lists have commas between them;
    tables are `name=value,name=value`."""
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        return None if text == "" else from_text(_inner(kind), text)
    if origin is tuple:
        entries = [entry.strip() for entry in text.split(",") if entry.strip()]
        return tuple(from_text(typing.get_args(kind)[0], entry) for entry in entries)
    if is_table(kind):
        pairs = [entry.partition("=") for entry in text.split(",") if entry.strip()]
        return {name.strip(): from_text(typing.get_args(kind)[1], entry.strip()) for name, _, entry in pairs}
    if origin is typing.Literal:
        for choice in typing.get_args(kind):
            if str(choice) == text:
                return choice
        raise WrongValue(f"{text!r} is not {describe(kind)}")
    if kind is bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off"):
            return False
        raise WrongValue(f"{text!r} is not true or false")
    try:
        return Path(text).expanduser() if kind is Path else kind(text)
    except ValueError:
        raise WrongValue(f"{text!r} is not {describe(kind)}") from None
