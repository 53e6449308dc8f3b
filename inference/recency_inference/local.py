"""The wheel's tritonserver as a child process: started, watched, stopped.

Everything it needs lies in `<data>/triton`: `backends/` (built anew at each start), `repository/` (its agent's, see
`repository.py`), `triton.log`, and a lock, so that two never share a folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from recency_inference.control import TritonControl
from recency_inference.environment import TritonEnvironment, build_backends, find_environment
from recency_inference.errors import FolderTaken, NotReady
from recency_inference.ports import Wanted, claim

_LOG_TAIL_LINES = 15
_LOG_LIMIT_BYTES = 16 << 20
_SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class TritonConfig:
    """How the local Triton is run. A port of 0 means any free one.

    data              the stack's own data folder
    environment       the Python environment with Triton's wheel; None: `.venv-triton` beside the running one
    model_repository  where the committed `config.pbtxt` files are; None: found beside this package
    hung_seconds      a server that has not answered its agent for so long is killed and started again
    probe_seconds     every model is asked for one small answer so often; one that hangs means a new server
    probe_timeout_seconds  how long such an answer may take, twice in a row
    agent_port        where the agent serves /metrics, /healthz and /readyz; 0: any free one
    variables         environment variables for the server (CUDA_VISIBLE_DEVICES, …); it inherits none
    """

    data: Path
    environment: Path | None = None
    model_repository: Path | None = None
    host: str = "127.0.0.1"
    grpc_port: int = 8001
    http_port: int = 8000
    metrics_port: int = 8002
    ready_timeout_seconds: float = 60.0
    stop_timeout_seconds: float = 15.0
    hung_seconds: float = 30.0
    probe_seconds: float = 5.0
    probe_timeout_seconds: float = 10.0
    agent_port: int = 0
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where everything of this Triton lies."""
        return self.data / "triton"

    @property
    def repository(self) -> Path:
        """The model repository that the server reads."""
        return self.folder / "repository"

    @property
    def log(self) -> Path:
        """What the server and its stubs print."""
        return self.folder / "triton.log"


class LocalTriton:
    """One local server over one data folder. Not thread-safe; the server ends with the thread that called `start`."""

    def __init__(self, config: TritonConfig) -> None:
        """Finds the environment, takes the folder and the ports; says what is wrong before anything runs."""
        self.config = config
        self._environment: TritonEnvironment = find_environment(config.environment)
        config.folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock_folder(config.folder)
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.grpc_port, self.http_port, self.metrics_port = claim(
                config.host,
                [
                    Wanted(config.grpc_port, "Triton's gRPC", "triton.grpc_port"),
                    Wanted(config.http_port, "Triton's HTTP", "triton.http_port"),
                    Wanted(config.metrics_port, "Triton's metrics", "triton.metrics_port"),
                ],
            )
        except BaseException:
            self._lock.close()
            raise

    @property
    def target(self) -> str:
        """Its gRPC address. It stays the same when the server is started again."""
        return f"{self.config.host}:{self.grpc_port}"

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        return self._process.pid if self.running and self._process else None

    @property
    def running(self) -> bool:
        """Whether the process is there (which does not mean ready)."""
        return self._process is not None and self._process.poll() is None

    def answers(self) -> bool:
        """Whether it answers at all; a load that takes long does not keep it from that."""
        with TritonControl(self.target) as control:
            return control.server_ready()

    def lost_stubs(self) -> frozenset[int]:
        """The stubs that have died, which the server does not take note of, or that something has stopped. It never starts
        one again: their model answers "not healthy", or nothing, until the server itself is started again."""
        pid, lost = self.pid, set()
        for children in Path(f"/proc/{pid}/task").glob("*/children") if pid else ():
            with contextlib.suppress(OSError):
                lost |= {int(child) for child in children.read_text().split() if _state(int(child)) in "ZT"}
        return frozenset(lost)

    def start(self) -> None:
        """Starts the server over what is on disk and waits until it answers as ready, or raises NotReady."""
        self._sweep()
        build_backends(self._environment, self.config.folder / "backends")
        self.config.repository.mkdir(exist_ok=True)
        if self.config.log.exists() and self.config.log.stat().st_size > _LOG_LIMIT_BYTES:
            self.config.log.replace(self.config.log.with_suffix(".log.1"))
        launch = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py")), str(os.getpid())]
        with self.config.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*launch, *self._command()],
                env=self._variables(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # For killpg. Not a session: what gives way in a session does so to nobody outside (Linux autogroups).
                process_group=0,
            )
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise

    def kill(self) -> None:
        """Ends the server and its stubs at once."""
        self._sweep()

    def stop(self) -> None:
        """Ends the server and its stubs: asks, waits, then kills. Does nothing where none runs."""
        if self._process is not None and self.running:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self.config.stop_timeout_seconds)
        self._sweep()

    def close(self) -> None:
        """Stops the server and lets the folder go."""
        self.stop()
        self._lock.close()

    def log_tail(self) -> str:
        """The last lines of the log."""
        try:
            lines = self.config.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "(no log)"
        return "\n".join(lines[-_LOG_TAIL_LINES:])

    def _sweep(self) -> None:
        """Kills what is left of the server's process group, and removes the shared memory that a killed one leaves."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        for region in _SHARED_MEMORY.glob(f"{self._shared_memory_prefix}*"):
            region.unlink(missing_ok=True)

    @property
    def _shared_memory_prefix(self) -> str:
        digest = hashlib.sha256(str(self.config.folder.resolve()).encode()).hexdigest()
        return f"recency_{digest[:12]}_"

    def _command(self) -> list[str]:
        config = self.config
        return [
            str(self._environment.server),
            f"--model-repository={config.repository.resolve()}",
            f"--backend-directory={(config.folder / 'backends').resolve()}",
            # What is on disk is loaded; afterwards only the agent loads and unloads; one bad model ends nothing.
            "--model-control-mode=explicit",
            "--load-model=*",
            "--exit-on-error=false",
            "--strict-readiness=false",
            # Every config is whole; completing one would start a stub more for each load, to ask it and end it again.
            "--disable-auto-complete-config",
            f"--grpc-address={config.host}",
            f"--grpc-port={self.grpc_port}",
            f"--http-address={config.host}",
            f"--http-port={self.http_port}",
            "--http-thread-count=1",
            f"--metrics-address={config.host}",
            f"--metrics-port={self.metrics_port}",
            "--allow-gpu-metrics=false",
            "--pinned-memory-pool-byte-size=0",
            "--exit-timeout-secs=5",
            f"--backend-config=python,shm-region-prefix-name={self._shared_memory_prefix}",
        ]

    def _variables(self) -> dict[str, str]:
        # A thread pool of OpenBLAS in each stub would take the cores from onnxruntime.
        return {
            "PATH": os.defpath,
            **self.config.variables,
            "LD_LIBRARY_PATH": str(self._environment.libraries),
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }

    def _wait_ready(self) -> None:
        limit = time.monotonic() + self.config.ready_timeout_seconds
        with TritonControl(self.target) as control:
            while not control.server_ready(wait_seconds=0.2):
                if not self.running:
                    raise NotReady(f"Triton ended while starting; {self.config.log} ends with:\n{self.log_tail()}")
                if time.monotonic() > limit:
                    raise NotReady(
                        f"Triton was not ready after {self.config.ready_timeout_seconds:.0f} s; "
                        f"{self.config.log} ends with:\n{self.log_tail()}"
                    )


def lock_folder(folder: Path) -> TextIO:
    """Takes the folder for this process; the system lets it go when the process ends, however it ends."""
    file = (folder / "lock").open("w", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise FolderTaken(
            f"{folder}: another Triton or agent runs over this folder; end it (`recency triton` or `recency up`), "
            "or give this one a folder of its own"
        ) from error
    return file


def _state(pid: int) -> str:
    """The process's state as the system names it (R, S, Z, T, …); "?" where it is gone."""
    try:
        # The state follows the command, which is in parentheses and may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "?"
