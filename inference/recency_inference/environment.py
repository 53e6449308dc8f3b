"""Where the wheel's Triton is, which of its stubs this machine can run, and the backend folder built from both.

The wheel (`nvidia-pytriton`, installed with `--no-deps` beside numpy 1.26 and onnxruntime in an environment of its own)
carries one stub for each Python. A stub embeds that Python through the machine's `libpython3.N.so.1.0`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from recency_inference.errors import StubMissing, TritonMissing

DEFAULT_NAME = ".venv-triton"
BACKEND = "onnxruntime"
_STUB = "triton_python_backend_stub"
_LIBRARY_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64", "/lib")
_INSTALL = "run `make setup`, or name an environment that has nvidia-pytriton, numpy 1.26 and onnxruntime"


@dataclass(frozen=True, slots=True)
class TritonEnvironment:
    """A complete environment: its site-packages, and the Python version ("3.11") whose stub runs here."""

    site: Path
    python: str

    @property
    def server(self) -> Path:
        """The tritonserver binary."""
        return self.site / "pytriton" / "tritonserver" / "bin" / "tritonserver"

    @property
    def libraries(self) -> Path:
        """What the stub needs on its library path."""
        return self.site / "nvidia_pytriton.libs"


def find_environment(configured: Path | None) -> TritonEnvironment:
    """The configured environment, or the one beside the running virtual environment; TritonMissing or StubMissing name
    what to do where it does not serve."""
    root = configured or Path(sys.prefix).parent / DEFAULT_NAME
    sites = sorted((root / "lib").glob("python3.*/site-packages"))
    if not sites:
        raise TritonMissing(f"{root}: no Python environment with Triton is there; {_INSTALL}")
    site = sites[0]
    python = site.parent.name.removeprefix("python")
    for package in ("pytriton/tritonserver/bin/tritonserver", "nvidia_pytriton.libs", "numpy", "onnxruntime"):
        if not (site / package).exists():
            raise TritonMissing(f"{root}: {package.partition('/')[0]} is not installed there; {_INSTALL}")
    _require_numpy_1(site, root)
    _require_stub(site, python)
    return TritonEnvironment(site, python)


def _require_numpy_1(site: Path, root: Path) -> None:
    """With numpy 2 this wheel's stub answers tensors of the right shape and no bytes, without any error."""
    versions = [
        folder.name.removeprefix("numpy-").removesuffix(".dist-info") for folder in site.glob("numpy-*.dist-info")
    ]
    if versions and not versions[0].startswith("1."):
        raise TritonMissing(f"{root}: numpy {versions[0]} is installed there, the wheel needs 1.26; {_INSTALL}")


def _require_stub(site: Path, python: str) -> None:
    stubs = site / "pytriton" / "tritonserver" / "python_backend_stubs"
    if not (stubs / python / _STUB).is_file():
        offered = ", ".join(sorted((p.name for p in stubs.iterdir()), key=lambda v: int(v.partition(".")[2])))
        raise StubMissing(
            f"{site}: the wheel has stubs for Python {offered}, this environment is Python {python}; "
            "make it with one of those"
        )
    if not has_libpython(python, _known_libraries, _LIBRARY_FOLDERS):
        have = [v for v in ("3.11", "3.12") if has_libpython(v, _known_libraries, _LIBRARY_FOLDERS)]
        other = f" (or make {site.parents[2]} with Python {have[0]}, whose library is here)" if have else ""
        raise StubMissing(
            f"libpython{python}.so.1.0 is not on this machine, and Triton's stub runs Python through it; "
            f"install it: `apt-get install libpython{python}`{other}"
        )


def has_libpython(python: str, known: Callable[[], Iterable[str]], folders: Iterable[str]) -> bool:
    """Whether the dynamic linker will find `libpython3.N.so.1.0`: in its cache, or in a folder it searches anyway."""
    name = f"libpython{python}.so.1.0"
    return name in known() or any((Path(folder) / name).exists() for folder in folders)


def _known_libraries() -> set[str]:
    """Names in the dynamic linker's cache; empty where ldconfig cannot be asked."""
    program = shutil.which("ldconfig") or "/sbin/ldconfig"
    try:
        listed = subprocess.run([program, "-p"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return set()
    return {line.split()[0] for line in listed.splitlines() if "=>" in line}


def build_backends(environment: TritonEnvironment, folder: Path) -> None:
    """Builds Triton's backend folder anew: `python` from the wheel with the right stub, and our `onnxruntime`."""
    shutil.rmtree(folder, ignore_errors=True)
    wheel = environment.site / "pytriton" / "tritonserver"
    python = folder / "python"
    python.mkdir(parents=True)
    # Copies: Triton refuses a backend library that is a link out of its folder.
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        shutil.copyfile(wheel / "backends" / "python" / name, python / name)
    shutil.copy2(wheel / "python_backend_stubs" / environment.python / _STUB, python / _STUB)
    (python / _STUB).chmod(0o755)
    ours = folder / BACKEND
    ours.mkdir()
    shutil.copyfile(Path(__file__).parent / "backends" / BACKEND / "model.py", ours / "model.py")
    (ours / "site_packages.txt").write_text(str(environment.site), encoding="utf-8")
