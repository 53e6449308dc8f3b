"""`recency doctor`: looks at everything that a first run needs, and names the remedy of what is not there."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recency_cli.context import Json, opened_store, settings_of

if TYPE_CHECKING:
    from recency_cli.config import Settings

_EXPORT_PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "safetensors")
_NEEDED_BYTES = 2 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, whether it is right, what was found, and what to do where it is not."""

    check: str
    ok: bool
    found: str
    remedy: str = ""


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("doctor", epilog="Example: recency doctor --json")(doctor)


def doctor(
    context: typer.Context,
    start: Annotated[
        bool, typer.Option(help="Also start a Triton on free ports over an empty folder, and end it.")
    ] = True,
    json: Json = False,
) -> None:
    """Check Python, packages, Triton and its Python library, language model, data, disk, ports and store. Exit code 0
    when all is well, 4 when something is missing."""
    from recency_cli.screen import console, print_json, table

    settings = settings_of(context)
    findings = list(_findings(settings, start))
    wrong = [finding for finding in findings if not finding.ok]
    if json:
        print_json({"ok": not wrong, "checks": [asdict(finding) for finding in findings]})
    else:
        rows = [("[green]ok[/]" if f.ok else "[red]no[/]", f.check, f.found, f.remedy) for f in findings]
        console().print(table("", ("", "check", "found", "remedy"), rows))
        console().print("all is well" if not wrong else f"{len(wrong)} of {len(findings)} need something")
    if wrong:
        raise typer.Exit(4)


def _findings(settings: Settings, start: bool) -> Iterator[Finding]:
    yield _python()
    yield _packages()
    yield from _triton(settings, start)
    yield _try("language model", lambda: _weights(settings), "make setup")
    yield _movielens()
    yield _disk(settings.data)
    yield from _ports(settings)
    yield _try("store", lambda: _store(settings), "")


def _try(check: str, look: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(check, True, look())
    except Exception as error:  # whatever is wrong is the finding
        return Finding(check, False, str(error) or type(error).__name__, remedy)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = (3, 11) <= sys.version_info[:2] < (3, 13)
    return Finding(
        "Python", ok, version, "" if ok else "use Python 3.11 or 3.12: PYTHON=/path/to/python3.11 make setup"
    )


def _packages() -> Finding:
    missing = [name for name in _EXPORT_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        return Finding(
            "exporter's packages",
            False,
            f"missing: {', '.join(missing)}",
            "make setup, or pip install 'recency-server[export]'",
        )
    return Finding("exporter's packages", True, ", ".join(_EXPORT_PACKAGES))


def _triton(settings: Settings, start: bool) -> Iterator[Finding]:
    from recency_inference.environment import find_environment

    def environment() -> str:
        found = find_environment(settings.triton().environment)
        return f"{found.server}, stub of Python {found.python}"

    found = _try("Triton's wheel and Python library", environment, "make setup")
    yield found
    if start and found.ok:
        yield _try("Triton starts", lambda: _start_triton(settings), "")


def _start_triton(settings: Settings) -> str:
    import dataclasses
    import tempfile

    from recency_inference.local import LocalTriton

    with tempfile.TemporaryDirectory(prefix="recency-doctor-") as folder:
        config = dataclasses.replace(settings.triton(), data=Path(folder), grpc_port=0, http_port=0, metrics_port=0)
        triton = LocalTriton(config)
        try:
            triton.start()
            return f"ready on {triton.target}, and ended"
        finally:
            triton.close()


def _weights(settings: Settings) -> str:
    from recency_export.text_encoder import find_encoder

    return str(find_encoder(settings.export().encoder_folder))


def _movielens() -> Finding:
    from recency_cli.exporting import movielens_folder

    folder = movielens_folder()
    missing = [name for name in ("inter", "item", "user") if not (folder / f"ml-100k.{name}").is_file()]
    if missing:
        return Finding(
            "MovieLens 100K",
            False,
            f"{folder} lacks {', '.join(missing)}",
            "make setup (only demo and benches need it)",
        )
    return Finding("MovieLens 100K", True, str(folder))


def _disk(data: Path) -> Finding:
    folder = next(parent for parent in (data.resolve(), *data.resolve().parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    found = f"{free / (1 << 30):.1f} GiB free at {folder}"
    remedy = "" if free >= _NEEDED_BYTES else "free at least 2 GiB, or set data.path to another disk"
    return Finding("disk", free >= _NEEDED_BYTES, found, remedy)


def _ports(settings: Settings) -> Iterator[Finding]:
    triton = settings.triton()
    wanted = {
        "gateway.grpc_address": str(settings["gateway.grpc_address"]),
        "gateway.http_address": str(settings["gateway.http_address"]),
        "triton.grpc_port": f"{triton.host}:{triton.grpc_port}",
        "triton.http_port": f"{triton.host}:{triton.http_port}",
        "triton.metrics_port": f"{triton.host}:{triton.metrics_port}",
    }
    for key, address in wanted.items():
        host, _, port = address.rpartition(":")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, int(port)))
                yield Finding(f"port {key}", True, f"{address} is free")
            except OSError as error:
                remedy = f"if that is not a Recency of yours that runs, end it, or set {key} (0: any free port)"
                yield Finding(f"port {key}", False, f"{address}: {error.strerror}", remedy)


def _store(settings: Settings) -> str:
    if not settings.store.exists():
        return f"{settings.store}: none yet"
    with opened_store(settings) as store:
        active = store.active_release()
        serving = f"release {active.release} active" if active else "no active release"
        return f"{settings.store}: {store.count_items():,} items, {store.last_sequence():,} changes, {serving}"
