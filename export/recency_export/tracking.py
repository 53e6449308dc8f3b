"""Experiment tracking: one run for each release that is trained, in TensorBoard's files or in Weights & Biases.

A run keeps its name for good (the manifest holds it as `run`: no time, no path of a machine is in it); an exporter that
was killed goes on in the same run. Tracking tells, it decides nothing: a tracker that fails stops no release.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from recency_export.errors import ExportError, MissingExtra

# Python's own: warnings go to standard error, where they leave a command's JSON alone.
_log = logging.getLogger("recency.export.tracking")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")
_FLUSH_SECONDS = 10
# A release waits no longer than this for a service that is away; offline it is only this machine that may be busy.
_WANDB_START_SECONDS = {"online": 10.0, "offline": 60.0}


@dataclass(frozen=True, slots=True)
class TrackingSettings:
    """Where runs are kept."""

    # `wandb` needs the `wandb` extra; `none` keeps none.
    backend: Literal["tensorboard", "wandb", "none"] = "tensorboard"
    # Of Weights & Biases: the project, and whether runs are sent as they happen or kept until `wandb sync`.
    project: str = "recency"
    mode: Literal["offline", "online"] = "offline"


class Run(Protocol):
    """One training run."""

    @property
    def url(self) -> str:
        """What a release's manifest says of its run: the same for the same name, on every machine."""
        ...

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """A point of each of several curves."""
        ...

    def summary(self, values: Mapping[str, float]) -> None:
        """What the run came to: one number a name."""
        ...

    def figure(self, name: str, path: Path) -> None:
        """A PNG."""
        ...

    def close(self) -> None:
        """Writes what is left; nothing is written after it."""
        ...


def open_run(settings: TrackingSettings, folder: Path, name: str, clock: Callable[[], float] = time.time) -> Run:
    """The run of that name under `folder` (`<data>/runs`), gone on with where it is there already. `clock` gives seconds
    since 1970. MissingExtra where the tracker is not installed."""
    if not _NAME.fullmatch(name):
        raise ExportError(f"{name!r} is no name for a run; use letters, digits, '.', '_' and '-', at most 100 of them")
    if settings.backend == "none":
        return _Forgiving("", None)
    place = f"{folder.name}/{name}" if settings.backend == "tensorboard" else f"{settings.project}/{name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened: _Writer = (
            _WandbRun(settings, folder, name) if settings.backend == "wandb" else _TensorBoardRun(folder, name, clock)
        )
        return _Forgiving(f"{settings.backend}:{place}", opened)
    except ImportError as error:
        extra = "wandb" if settings.backend == "wandb" else "export"
        raise MissingExtra(
            f"export.tracking.backend is {settings.backend}, which is not installed ({error}); "
            f"pip install 'recency-server[{extra}]', or set it to none"
        ) from error
    except Exception as error:
        # A folder that cannot be made, a tracker's service that does not start.
        _log.warning("run %s is not tracked: %s: %s", name, type(error).__name__, error)
        return _Forgiving(f"{settings.backend}:{place}", None)


class _Writer(Protocol):
    """A run as one tracker writes it."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None: ...

    def summary(self, values: Mapping[str, float]) -> None: ...

    def figure(self, name: str, path: Path) -> None: ...

    def close(self) -> None: ...


class _Forgiving:
    """A run whose tracker may fail (a full disk, a service that went away): the first failure is logged, the rest of the run
    is kept nowhere, and the release is made all the same. Without a tracker it is kept nowhere from the start."""

    def __init__(self, url: str, writer: _Writer | None) -> None:
        self.url = url
        self._writer = writer

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._try(lambda writer: writer.scalars(step, values))

    def summary(self, values: Mapping[str, float]) -> None:
        self._try(lambda writer: writer.summary(values))

    def figure(self, name: str, path: Path) -> None:
        self._try(lambda writer: writer.figure(name, path))

    def close(self) -> None:
        self._try(lambda writer: writer.close())
        self._writer = None

    def _try(self, write: Callable[[_Writer], None]) -> None:
        if self._writer is None:
            return
        try:
            write(self._writer)
        except Exception as error:
            # Whatever a tracker raises: it tells of the release, it does not make it.
            _log.warning("run %s is not tracked any further: %s: %s", self.url, type(error).__name__, error)
            self._writer = None


class _TensorBoardRun:
    """TensorBoard's own event file writer: a third of a second to import, where torch's wrapper around it takes two."""

    def __init__(self, folder: Path, name: str, clock: Callable[[], float]) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._clock = clock
        self._writer = EventFileWriter(str(folder / name), flush_secs=_FLUSH_SECONDS)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._write(step, [self._summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])

    def summary(self, values: Mapping[str, float]) -> None:
        self.scalars(0, {f"summary/{name}": value for name, value in values.items()})

    def figure(self, name: str, path: Path) -> None:
        width, height = _png_size(path)
        image = self._summary.Image(encoded_image_string=path.read_bytes(), width=width, height=height, colorspace=4)
        self._write(0, [self._summary.Value(tag=name, image=image)])

    def _write(self, step: int, values: list[Any]) -> None:
        self._writer.add_event(self._event(wall_time=self._clock(), step=step, summary=self._summary(value=values)))

    def close(self) -> None:
        self._writer.close()


class _WandbRun:
    """A run of Weights & Biases. Nothing about the machine, its packages or the code around goes with it."""

    def __init__(self, settings: TrackingSettings, folder: Path, name: str) -> None:
        import wandb

        self._image = wandb.Image
        try:
            self._run = self._start(wandb, settings, folder, name, settings.mode)
        except wandb.errors.Error as error:
            if settings.mode == "offline":
                raise
            # A service that is away is no reason to keep nothing: what is kept here can be sent later.
            _log.warning("%s; the run is kept here: wandb sync %s/wandb/offline-run-*", error, folder)
            # The process behind wandb still holds the run that did not start.
            wandb.teardown()
            self._run = self._start(wandb, settings, folder, name, "offline")
        # Curves have steps of their own; W&B's one counter for all of them would drop what comes with a smaller step.
        self._run.define_metric("*", step_metric="step")

    @staticmethod
    def _start(wandb: Any, settings: TrackingSettings, folder: Path, name: str, mode: str) -> Any:
        quiet = wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            save_code=False,
            x_disable_stats=True,
            x_disable_meta=True,
            x_save_requirements=False,
            init_timeout=_WANDB_START_SECONDS[mode],
        )
        return wandb.init(
            project=settings.project, id=name, name=name, dir=str(folder), mode=mode, resume="allow", settings=quiet
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({**values, "step": step})

    def summary(self, values: Mapping[str, float]) -> None:
        self._run.summary.update(dict(values))

    def figure(self, name: str, path: Path) -> None:
        self._run.log({name: self._image(str(path))})

    def close(self) -> None:
        self._run.finish()


def _png_size(path: Path) -> tuple[int, int]:
    """Width and height out of a PNG's header."""
    with path.open("rb") as file:
        head = file.read(24)
    if head[:8] != b"\x89PNG\r\n\x1a\n":
        raise ExportError(f"{path}: not a PNG; only PNGs are figures of a run")
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
