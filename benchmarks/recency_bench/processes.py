"""The processes behind a target: who listens there, their children, and the CPU time they have used."""

from __future__ import annotations

from collections.abc import Mapping

import psutil


def listener(port: int) -> psutil.Process | None:
    """The local process that listens on a TCP port; None where there is none or it cannot be seen."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return None
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or not connection.laddr or not connection.pid:
            continue
        if connection.laddr.port == port:
            return psutil.Process(connection.pid)
    return None


def stack_processes(gateway_port: int, triton_port: int) -> dict[str, list[psutil.Process]]:
    """The running parts by name: gateway, triton, stubs (Triton's Python backends). LookupError names what is not there."""
    parts: dict[str, list[psutil.Process]] = {}
    for name, port in (("gateway", gateway_port), ("triton", triton_port)):
        process = listener(port)
        if process is None:
            raise LookupError(f"no local process of {name} listens on port {port}; start the stack with `recency up`")
        parts[name] = [process]
    parts["stubs"] = parts["triton"][0].children(recursive=True)
    return parts


def cpu_seconds(parts: Mapping[str, list[psutil.Process]]) -> dict[str, float]:
    """User and system seconds used so far, by part."""
    used = {}
    for name, processes in parts.items():
        times = [process.cpu_times() for process in processes]
        used[name] = sum(t.user + t.system for t in times)
    return used


def resident_bytes(parts: Mapping[str, list[psutil.Process]]) -> dict[str, int]:
    """Resident memory by part."""
    return {name: sum(p.memory_info().rss for p in processes) for name, processes in parts.items()}
