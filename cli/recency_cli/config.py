"""The configuration: one `recency.toml`, every key overridable by the environment, nothing required.

Only this module reads configuration files and the environment. What is configured stands as frozen dataclasses beside
what it configures (SECTIONS); their fields are the keys. An unknown key or variable is an error, not a silence.
"""

from __future__ import annotations

import difflib
import importlib
import os
import socket
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recency_cli.errors import ConfigError
from recency_cli.schema import Key, Place, WrongValue, build, from_file, from_text, is_table, keys_of

if TYPE_CHECKING:
    from recency_export.online_settings import LearnerConfig
    from recency_export.settings import BootstrapConfig
    from recency_inference.local import TritonConfig
    from recency_server.config import GatewayConfig

FILE = "recency.toml"
PREFIX = "RECENCY_"
DEFAULT = "default"
# Variables that are no keys: switches of the command itself.
SWITCHES = frozenset({"RECENCY_DEBUG", "RECENCY_CONFIG"})


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Where everything durable lies. Other paths that are not set lie in it.

    releases  the one place of the releases: a folder, or a URL of what fsspec has a file system for (s3://…, http://…)
    """

    path: Path = Path("data")
    store: Path | None = None
    releases: Place | None = None


# section → the module and class of its keys
SECTIONS: Mapping[str, tuple[str, str]] = {
    "data": ("recency_cli.config", "DataConfig"),
    "events": ("recency_features.events", "EventsConfig"),
    "catalog": ("recency_features.spaces", "CatalogConfig"),
    "triton": ("recency_inference.local", "TritonConfig"),
    "gateway": ("recency_server.config", "GatewayConfig"),
    "policy": ("recency_server.policy_config", "PolicyConfig"),
    "learner": ("recency_export.online_settings", "LearnerConfig"),
    "export": ("recency_export.settings", "BootstrapConfig"),
}
# Fields that are made from other keys, or from what this process is, instead of being keys.
DERIVED = frozenset(
    {
        "triton.data",
        "gateway.recommend.custom_types",
        "gateway.recommend.spaces",
        "gateway.recommend.gateway_id",
        "gateway.recommend.policy",
        "gateway.recommend.releases.cache",
        "export.workspace",
        "export.place",
    }
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One key's effective value and where it came from."""

    key: Key
    value: Any
    origin: str


class Settings:
    """The effective configuration."""

    def __init__(self, settings: Mapping[str, Setting], file: Path | None = None) -> None:
        self._settings = settings
        self.file = file

    def __iter__(self) -> Iterator[Setting]:
        return iter(self._settings.values())

    def __getitem__(self, path: str) -> Any:
        return self._settings[path].value

    def changed(self, values: Mapping[str, Any], origin: str) -> Settings:
        """The same with some keys set otherwise, as a command's options do; None leaves a key as it is."""
        new = dict(self._settings)
        for path, value in values.items():
            if value is not None:
                new[path] = Setting(new[path].key, value, origin)
        return Settings(new, self.file)

    @property
    def data(self) -> Path:
        """The data folder."""
        path = self["data.path"]
        assert isinstance(path, Path)
        return path

    @property
    def store(self) -> Path:
        """The store's file."""
        return self["data.store"] or self.data / "store.db"

    @property
    def releases(self) -> Path:
        """The folder of the releases, or where they are put together that lie at a URL."""
        place: Place | None = self["data.releases"]
        return (place.folder if place else None) or self.data / "releases"

    @property
    def releases_url(self) -> str:
        """The URL of the place of the releases; empty where that is a folder."""
        place: Place | None = self["data.releases"]
        return str(place) if place and place.folder is None else ""

    @property
    def fetched(self) -> Path:
        """Where releases are fetched to that lie at a URL."""
        return self.data / "fetched"

    @property
    def logs(self) -> Path:
        """The folder of the logs that `recency up` writes."""
        return self.data / "logs"

    def custom_types(self) -> Mapping[str, int]:
        """The caller's own event types, each with the type number that its events are stored under."""
        from recency_features.events import custom_types

        try:
            return custom_types(self["events.custom"])
        except ValueError as error:
            raise ConfigError(f"[events]: {error}") from error

    def spaces(self) -> Mapping[str, int]:
        """The spaces of the caller's own vectors, each with the size of its vectors."""
        from recency_features.spaces import CatalogConfig

        try:
            return CatalogConfig(self["catalog.spaces"]).spaces
        except ValueError as error:
            raise ConfigError(f"[catalog]: {error}") from error

    def triton(self) -> TritonConfig:
        """How the local Triton runs."""
        config: TritonConfig = self._build("triton")
        return config

    def gateway(self) -> GatewayConfig:
        """How the gateway runs."""
        config: GatewayConfig = self._build("gateway", {"gateway.recommend.policy": self._build("policy")})
        return config

    def export(self) -> BootstrapConfig:
        """How the exporter makes the first release."""
        config: BootstrapConfig = self._build("export")
        return config

    def learner(self) -> LearnerConfig:
        """How the item learner learns."""
        config: LearnerConfig = self._build("learner")
        return config

    def _build(self, section: str, made: Mapping[str, Any] | None = None) -> Any:
        values = {setting.key.path: setting.value for setting in self}
        derived = {
            "triton.data": self.data,
            "gateway.recommend.custom_types": self.custom_types(),
            "gateway.recommend.spaces": self.spaces(),
            "gateway.recommend.gateway_id": f"{socket.gethostname()}-{os.getpid()}",
            "gateway.recommend.releases.cache": self.fetched,
            "export.workspace": self.data / "workspace",
            "export.place": self.releases_url,
            **(made or {}),
        }
        try:
            return build(_config_class(section), section, values, derived)
        except ValueError as error:
            raise ConfigError(f"[{section}]: {error}") from error


def load(file: Path | None, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """Reads `file`, or else `recency.toml` in `folder` (where we are) if there is one, then the environment."""
    variables = os.environ if environment is None else environment
    if file is None and "RECENCY_CONFIG" in variables:
        file = Path(variables["RECENCY_CONFIG"])
    elif file is None and ((folder or Path()) / FILE).is_file():
        file = (folder or Path()) / FILE
    keys = {key.path: key for section in SECTIONS for key in _keys(section)}
    settings = {path: Setting(key, key.default, DEFAULT) for path, key in keys.items()}
    for path, value, origin in (*_file_values(file, keys), *_variable_values(variables, keys)):
        settings[path] = Setting(keys[path], value, origin)
    return Settings(settings, file)


def debugging() -> bool:
    """Whether RECENCY_DEBUG asks for stack traces and everybody's warnings."""
    return bool(os.environ.get("RECENCY_DEBUG"))


def _config_class(section: str) -> type:
    module, name = SECTIONS[section]
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, type)
    return found


def _keys(section: str) -> Iterator[Key]:
    return keys_of(_config_class(section), section, DERIVED)


def _file_values(path: Path | None, keys: Mapping[str, Key]) -> Iterator[tuple[str, Any, str]]:
    if path is None:
        return
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file; leave --config out to run with the defaults")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    for name, value in _flat(content, "", keys):
        if name not in keys:
            raise ConfigError(f"{path}: unknown key {name}{_nearest(name, keys)}")
        try:
            yield name, from_file(keys[name].kind, value, path.parent), str(path)
        except WrongValue as error:
            raise ConfigError(f"{path}: {name}: {error}") from error


def _flat(content: Mapping[str, Any], prefix: str, keys: Mapping[str, Key]) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        key = keys.get(prefix + name)
        if isinstance(value, dict) and not (key is not None and is_table(key.kind)):
            yield from _flat(value, f"{prefix}{name}.", keys)
        else:
            yield prefix + name, value


def _variable_values(variables: Mapping[str, str], keys: Mapping[str, Key]) -> Iterator[tuple[str, Any, str]]:
    by_variable = {key.variable: key for key in keys.values()}
    for name in sorted(variables):
        if not name.startswith(PREFIX) or name in SWITCHES:
            continue
        if name not in by_variable:
            raise ConfigError(f"unknown variable {name}{_nearest(name, by_variable)}")
        key = by_variable[name]
        try:
            yield key.path, from_text(key.kind, variables[name]), name
        except WrongValue as error:
            raise ConfigError(f"{name}: {error}") from error


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else "; `recency config show` lists what there is"
