"""Test that each call needs the same permission as in REST."""

from __future__ import annotations

import grpc
import pytest
from asgiref.sync import sync_to_async

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.lifecycle import Status
from tests.coordinator.rpc.task_service.client import (
    ADD,
    EVERYTHING,
    Client,
    Code,
    refused,
    sums,
    token_of,
)
from tests.factories import stored
from tests.system.fleet import acount

pytestmark = pytest.mark.django_db(transaction=True)


async def test_calls_without_a_valid_token_are_unauthenticated(channel: grpc.aio.Channel) -> None:
    inactive = await token_of(*EVERYTHING, active=False)
    [task_id] = await sync_to_async(stored)()
    for token, rule in (
        (None, "The call has no token; send the metadata `authorization: Token <key>`."),
        ("", "The token is unknown"),
        ("0" * 40, "The token is unknown"),
        ("' or 1=1 --", "The token is unknown"),
        (inactive, "its user is not active"),
    ):
        client = Client(channel, token)
        for call in (
            client.submit(name=ADD),
            client.submit_many(sums(1)),
            client.get(task_id),
            client.cancel(task_id),
        ):
            assert rule in await refused(call, Code.UNAUTHENTICATED)
    assert await acount() == await acount(status=Status.PENDING) == 1


async def test_each_call_needs_its_own_permission(channel: grpc.aio.Channel) -> None:
    [task_id] = await sync_to_async(stored)()
    adds = Client(channel, await token_of("add_task"))
    views = Client(channel, await token_of("view_task"))
    changes = Client(channel, await token_of("change_task"))
    for call, permission in (
        (views.submit(name=ADD), "taskmaster_tasks.add_task"),
        (changes.submit_many(sums(1)), "taskmaster_tasks.add_task"),
        (adds.get(task_id), "taskmaster_tasks.view_task"),
        (changes.get(task_id), "taskmaster_tasks.view_task"),
        (views.cancel(task_id), "taskmaster_tasks.change_task"),
        (adds.cancel(task_id), "taskmaster_tasks.view_task"),
        (changes.cancel(task_id), "taskmaster_tasks.view_task"),
        (changes.cancel(10**9), "taskmaster_tasks.view_task"),
    ):
        assert await refused(call, Code.PERMISSION_DENIED) == (
            f"This needs the permission {permission}."
        )
    assert await acount() == await acount(status=Status.PENDING) == 1


async def test_a_shell_command_needs_its_own_permission(channel: grpc.aio.Channel) -> None:
    client = Client(channel, await token_of("add_task", "view_task", "change_task"))
    shell = pb.SubmitTaskRequest(name="shell", kwargs_json='{"command": "true"}')
    for call in (
        client.submit(name="shell", kwargs_json='{"command": "true"}'),
        client.submit_many([*sums(1), shell]),
    ):
        rule = "This needs the permission taskmaster_tasks.submit_shell."
        assert await refused(call, Code.PERMISSION_DENIED) == rule
    assert await acount() == 0
