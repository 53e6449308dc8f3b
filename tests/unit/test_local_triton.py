"""What is wrong with a machine is said before anything runs, with the remedy."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recency_inference.environment import TritonEnvironment, build_backends, find_environment, has_libpython
from recency_inference.errors import FolderTaken, PortTaken, StubMissing, TritonMissing
from recency_inference.local import LocalTriton, TritonConfig, lock_folder
from recency_inference.ports import Wanted, claim


def fake_environment(root: Path, python: str = "3.11", numpy: str = "1.26.4") -> Path:
    """Folders and files as the wheel lays them out, empty."""
    site = root / "lib" / f"python{python}" / "site-packages"
    wheel = site / "pytriton" / "tritonserver"
    for folder in (wheel / "bin", wheel / "backends" / "python", site / "nvidia_pytriton.libs", site / "numpy"):
        folder.mkdir(parents=True)
    (site / "onnxruntime").mkdir()
    (site / f"numpy-{numpy}.dist-info").mkdir()
    (wheel / "bin" / "tritonserver").touch()
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        (wheel / "backends" / "python" / name).touch()
    for version in ("3.10", "3.11", "3.12"):
        (wheel / "python_backend_stubs" / version).mkdir(parents=True)
        (wheel / "python_backend_stubs" / version / "triton_python_backend_stub").touch()
    return root


def test_no_environment_is_said_with_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(TritonMissing, match="make setup"):
        find_environment(tmp_path)


def test_an_environment_without_onnxruntime_names_it(tmp_path: Path) -> None:
    root = fake_environment(tmp_path)
    (root / "lib/python3.11/site-packages/onnxruntime").rmdir()
    with pytest.raises(TritonMissing, match="onnxruntime is not installed"):
        find_environment(root)


def test_numpy_2_is_refused_because_it_would_answer_empty_tensors(tmp_path: Path) -> None:
    with pytest.raises(TritonMissing, match=r"numpy 2\.1\.0 .* needs 1\.26"):
        find_environment(fake_environment(tmp_path, numpy="2.1.0"))


def test_a_python_without_a_stub_lists_those_with_one(tmp_path: Path) -> None:
    with pytest.raises(StubMissing, match=r"stubs for Python 3\.10, 3\.11, 3\.12, this environment is Python 3\.14"):
        find_environment(fake_environment(tmp_path, python="3.14"))


def test_a_missing_python_library_names_the_package(tmp_path: Path) -> None:
    if has_libpython("3.10", set, ["/usr/lib/x86_64-linux-gnu"]):
        pytest.skip("this machine has the library that the test needs to be missing")
    with pytest.raises(StubMissing, match=r"apt-get install libpython3\.10"):
        find_environment(fake_environment(tmp_path, python="3.10"))


def test_a_python_library_is_found_in_the_linkers_cache_or_in_its_folders(tmp_path: Path) -> None:
    assert has_libpython("3.12", lambda: {"libpython3.12.so.1.0"}, [])
    assert not has_libpython("3.12", set, [str(tmp_path)])
    (tmp_path / "libpython3.12.so.1.0").touch()
    assert has_libpython("3.12", set, [str(tmp_path)])


def test_the_backend_folder_holds_the_right_stub_and_knows_where_onnxruntime_is(tmp_path: Path) -> None:
    root = fake_environment(tmp_path / "environment")
    environment = TritonEnvironment(root / "lib/python3.11/site-packages", "3.11")
    for _ in range(2):
        build_backends(environment, tmp_path / "backends")
    assert {path.name for path in (tmp_path / "backends/python").iterdir()} == {
        "libtriton_python.so",
        "triton_python_backend_utils.py",
        "triton_python_backend_stub",
    }
    assert (tmp_path / "backends/onnxruntime/site_packages.txt").read_text() == str(environment.site)
    assert (tmp_path / "backends/onnxruntime/model.py").is_file()


def test_a_taken_port_is_named_with_the_setting_to_change() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"127.0.0.1:{port}, for Triton's gRPC.*triton.grpc_port"):
            claim("127.0.0.1", [Wanted(port, "Triton's gRPC", "triton.grpc_port")])


def test_free_ports_are_all_different() -> None:
    ports = claim("127.0.0.1", [Wanted(0, "a", "a")] * 20)
    assert len(set(ports)) == 20


def test_two_tritons_never_share_a_data_folder(tmp_path: Path) -> None:
    with lock_folder(tmp_path), pytest.raises(FolderTaken, match="another Triton"):
        lock_folder(tmp_path)
    lock_folder(tmp_path).close()


def test_a_triton_that_cannot_start_lets_the_folder_go(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment = fake_environment(tmp_path / "environment", python=f"3.{sys.version_info.minor}")
        config = TritonConfig(tmp_path / "data", environment, grpc_port=taken.getsockname()[1])
        try:
            with pytest.raises(PortTaken):
                LocalTriton(config)
        except StubMissing:
            pytest.skip("no shared library of this Python here")
    lock_folder(config.folder).close()


def test_a_launched_program_ends_with_the_one_that_started_it() -> None:
    launch = Path(sys.modules[LocalTriton.__module__].__file__ or "").with_name("launch.py")
    starter = (
        "import os, subprocess, sys;"
        f"child = subprocess.Popen([sys.executable, {str(launch)!r}, str(os.getpid()), '/bin/sleep', '60']);"
        "print(child.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", starter], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        command = Path(f"/proc/{pid}/cmdline")
        wait(lambda: b"/bin/sleep" in command.read_bytes()[:20])
        parent.kill()
    wait(lambda: not command.exists() or not command.read_bytes())


def wait(happened) -> None:
    limit = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < limit
        time.sleep(0.02)
