"""A gateway in a process of its own: `python serve_process.py STORE`. It prints its port and drains on SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

import uvloop

from recency_server.config import Bound, GatewayConfig
from recency_server.gateway import serve
from recency_server.logs import configure_logging
from recency_server.parts import RecommendConfig
from recency_store.sqlite import open_sqlite


def announce(bound: Bound) -> None:
    print(bound.grpc_port, flush=True)


async def main(store_path: Path) -> None:
    configure_logging("warning")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    store = open_sqlite(store_path)
    config = GatewayConfig(
        RecommendConfig(gateway_id=f"process-{time.time_ns()}"),
        "127.0.0.1:0",
        "127.0.0.1:0",
        "127.0.0.1:1",
        drain_seconds=5.0,
    )
    await serve(config, store, lambda: time.time_ns() // 1_000, stop=stop, ready=announce)
    store.close()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
