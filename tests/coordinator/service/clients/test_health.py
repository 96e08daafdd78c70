"""Standard health checking and reflection stand beside the service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.coordinator.service.clients.client import DEADLINE_S, Code, refused

pytestmark = pytest.mark.django_db(transaction=True)


async def test_health_and_reflection_answer(channel: grpc.aio.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "taskmaster.v1.TaskService", "taskmaster.v1.WorkerService"):
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
        "taskmaster.v1.TaskService",
        "taskmaster.v1.WorkerService",
    }
    assert answers[1].file_descriptor_response.file_descriptor_proto


async def test_health_of_an_unknown_service_is_not_found(channel: grpc.aio.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service="taskmaster.v1.Nothing")
    await refused(health.Check(request, timeout=DEADLINE_S), Code.NOT_FOUND)
