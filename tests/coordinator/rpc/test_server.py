"""Test the server: health check, reflection, TLS details, and a port that is taken."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from taskmaster.coordinator.rpc.server import GrpcServer, tls_details
from taskmaster.tasks.errors import ConfigurationError
from tests.coordinator.rpc.task_service.client import DEADLINE_S, Code, refused
from tests.system.fleet import free_port

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def channel(address: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield channel


async def test_health_and_reflection_answer(channel: grpc.aio.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service in (
        "",
        "taskmaster.v1.TaskService",
        "taskmaster.v1.ScheduleService",
        "taskmaster.v1.WorkerService",
    ):
        request = health_pb2.HealthCheckRequest(service=service)
        answer = await health.Check(request, timeout=DEADLINE_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, service

    def requests() -> Iterator[Any]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        yield reflection_pb2.ServerReflectionRequest(
            file_containing_symbol="taskmaster.v1.TaskService"
        )

    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    answers = [answer async for answer in stub.ServerReflectionInfo(requests(), timeout=DEADLINE_S)]
    assert {service.name for service in answers[0].list_services_response.service} == {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "taskmaster.v1.ScheduleService",
        "taskmaster.v1.TaskService",
        "taskmaster.v1.WorkerService",
    }
    assert answers[1].file_descriptor_response.file_descriptor_proto


async def test_health_of_an_unknown_service_is_not_found(channel: grpc.aio.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service="taskmaster.v1.Nothing")
    await refused(health.Check(request, timeout=DEADLINE_S), Code.NOT_FOUND)


async def test_a_taken_port_is_a_configuration_error_that_names_the_option() -> None:
    address = f"127.0.0.1:{free_port()}"
    first, second = GrpcServer(None), GrpcServer(None)
    await first.start(address)
    try:
        with pytest.raises(ConfigurationError, match=rf"Cannot listen on {address}: .*--port"):
            await second.start(address)
    finally:
        await first.stop()


def test_without_tls_there_are_no_details_for_the_log() -> None:
    assert tls_details(None) == {}
