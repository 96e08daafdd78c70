"""Test the health checks of healthy, unhealthy and missing processes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from taskmaster.taskmaster_site.monitoring import probe
from tests.system.fleet import free_port


async def serve_http(status: str) -> tuple[asyncio.Server, dict[str, str]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        right = b"GET /healthz" in asked and b"Host: tasks.example.org" in asked
        line = status if right else "400 Bad Request"
        writer.write(f"HTTP/1.1 {line}\r\nContent-Length: 2\r\n\r\nno".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = str(server.sockets[0].getsockname()[1])
    return server, {"PORT": port, "TASKMASTER_ALLOWED_HOSTS": ".tasks.example.org,b"}


async def test_web_is_healthy_when_it_answers_for_an_allowed_host() -> None:
    server, environment = await serve_http("200 OK")
    async with server:
        await asyncio.to_thread(probe.web, environment)


async def test_an_unhealthy_web_process_reports_its_reason() -> None:
    server, environment = await serve_http("503 Service Unavailable")
    async with server:
        with pytest.raises(probe.Unhealthy, match="returned 503: no"):
            await asyncio.to_thread(probe.web, environment)
    with pytest.raises(probe.Unhealthy, match=r"web process on port \d+ does not answer"):
        probe.web(environment)


@pytest.fixture
def servicer() -> Iterator[tuple[health.HealthServicer, dict[str, str]]]:
    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(1))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, {"TASKMASTER_GRPC_HOST": "0.0.0.0", "TASKMASTER_GRPC_PORT": str(port)}
    server.stop(0)


def test_a_coordinator_is_healthy_while_it_serves(
    servicer: tuple[health.HealthServicer, dict[str, str]],
) -> None:
    service, environment = servicer
    service.set("", health_pb2.HealthCheckResponse.SERVING)
    probe.coordinator(environment)
    service.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    with pytest.raises(probe.Unhealthy, match="reports NOT_SERVING"):
        probe.coordinator(environment)


def test_a_missing_coordinator_is_unhealthy() -> None:
    with pytest.raises(probe.Unhealthy, match="does not answer"):
        probe.coordinator({"TASKMASTER_GRPC_PORT": str(free_port())})


def test_a_worker_is_healthy_while_connected_to_a_coordinator() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
        environment = {"TASKMASTER_COORDINATORS": f"nowhere:1,127.0.0.1:{port}"}
        with pytest.raises(probe.Unhealthy, match="no connection"):
            probe.worker(environment)
        with closing(socket.create_connection(("127.0.0.1", port))):
            probe.worker(environment)


def test_an_unknown_process_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert probe.main(["database"]) == 2
    assert "web|coordinator|worker" in capsys.readouterr().err
