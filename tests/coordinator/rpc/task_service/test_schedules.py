"""Test that clients can list, pause, resume and run schedules, with the rules of REST."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from asgiref.sync import sync_to_async
from google.protobuf.timestamp_pb2 import Timestamp

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc
from taskmaster.tasks.models import Schedule, Task
from tests.coordinator.rpc.task_service.client import DEADLINE_S, Code, at, refused, token_of
from tests.tasks.schedules.sample import created

pytestmark = pytest.mark.django_db(transaction=True)

OPERATE = ("view_schedule", "run_schedule")
MADE = sync_to_async(created)


class Client:
    """A client of ScheduleService."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._stub: Any = rpc.ScheduleServiceStub(channel)
        metadata = (("authorization", f"Token {token}"),)
        self._options: dict[str, Any] = {"metadata": metadata, "timeout": DEADLINE_S}

    async def list(self, **fields: Any) -> pb.ListSchedulesResponse:
        request = pb.ListSchedulesRequest(**fields)
        return await self._stub.ListSchedules(request, **self._options)

    async def pause(self, name: str, reason: str = "") -> pb.Schedule:
        request = pb.PauseScheduleRequest(name=name, reason=reason)
        return await self._stub.PauseSchedule(request, **self._options)

    async def resume(self, name: str) -> pb.Schedule:
        return await self._stub.ResumeSchedule(pb.ResumeScheduleRequest(name=name), **self._options)

    async def run(self, name: str, **fields: Any) -> pb.RunScheduleResponse:
        request = pb.RunScheduleRequest(name=name, **fields)
        return await self._stub.RunSchedule(request, **self._options)


@pytest.fixture
async def schedules(channel: grpc.aio.Channel) -> Client:
    return Client(channel, await token_of(*OPERATE))


async def test_schedules_are_listed_by_name_in_pages(schedules: Client) -> None:
    for name in ("weekly", "daily", "monthly"):
        await MADE(name=name)
    page = await schedules.list(page_size=2)
    assert [each.name for each in page.schedules] == ["daily", "monthly"]
    last = await schedules.list(page_size=2, page_token=page.next_page_token)
    assert ([each.name for each in last.schedules], last.next_page_token) == (["weekly"], "")
    shown = page.schedules[0]
    stored = await Schedule.objects.aget(name="daily")
    assert (shown.id, shown.words, shown.timezone) == (stored.pk, "every hour", "UTC")
    assert (shown.state, shown.source, shown.owner) == (pb.SCHEDULE_STATE_ACTIVE, "console", "")
    assert shown.next_due_at.ToDatetime(UTC) == stored.next_due_at
    assert not shown.HasField("paused_at")
    for fields, rule in (
        ({"page_size": 501}, "page_size: is 501; it must be from 1 to 500."),
        ({"page_token": "x" * 101}, "page_token: has 101 characters; the limit is 100."),
        ({"page_token": "a\0"}, "page_token: contains U+0000"),
    ):
        assert rule in await refused(schedules.list(**fields), Code.INVALID_ARGUMENT)


async def test_a_schedule_is_paused_resumed_and_run(schedules: Client) -> None:
    await MADE(name="daily")
    paused = await schedules.pause("daily", "data migration")
    assert (paused.state, paused.pause_reason) == (pb.SCHEDULE_STATE_PAUSED, "data migration")
    assert (paused.paused_by, paused.HasField("paused_at")) == ("user-0", True)
    run = await schedules.run("daily")
    task = await Task.objects.aget(pk=run.task_id)
    assert task.scheduled_for == run.due_at.ToDatetime(UTC)
    resumed = await schedules.resume("daily")
    assert (resumed.state, resumed.pause_reason) == (pb.SCHEDULE_STATE_ACTIVE, "")


async def test_a_missed_due_time_is_run(schedules: Client) -> None:
    schedule = await MADE(name="daily")
    due_at = Timestamp()
    due_at.FromDatetime(schedule.next_due_at - timedelta(hours=3))
    run = await schedules.run("daily", due_at=due_at)
    assert run.due_at == due_at
    for bad, rule in (
        (at(3_600), "due_at: "),
        (Timestamp(seconds=2**60), "due_at: is out of range."),
        (Timestamp(seconds=int(datetime(2020, 1, 1, tzinfo=UTC).timestamp())), "not a due time"),
    ):
        call = schedules.run("daily", due_at=bad)
        assert rule in await refused(call, Code.INVALID_ARGUMENT)
    assert await Task.objects.acount() == 1


async def test_errors_have_the_status_of_rest(schedules: Client) -> None:
    await MADE(name="daily")
    assert await refused(schedules.pause("nightly"), Code.NOT_FOUND) == (
        "There is no schedule nightly."
    )
    for name, rule in (("", "must not be empty"), ("a\0", "U+0000"), ("x" * 101, "101 characters")):
        assert rule in await refused(schedules.run(name), Code.INVALID_ARGUMENT)
    details = await refused(schedules.pause("daily", "x" * 301), Code.INVALID_ARGUMENT)
    assert details == "reason: has 301 characters; the limit is 300."
    await Schedule.objects.aupdate(args=[1])
    details = await refused(schedules.run("daily"), Code.FAILED_PRECONDITION)
    assert "Schedule daily cannot run. args: missing argument 'b'" in details


async def test_each_call_needs_its_permissions(channel: grpc.aio.Channel) -> None:
    await MADE(name="daily")
    await MADE(name="shell", task=None, args=None, command="true")
    for missing in OPERATE:
        given = [each for each in OPERATE if each != missing]
        client = Client(channel, await token_of("change_schedule", "submit_shell", *given))
        for name in ("daily", "unknown"):
            for call in (client.pause, client.resume, client.run):
                details = await refused(call(name), Code.PERMISSION_DENIED)
                assert details == f"This needs the permission taskmaster_tasks.{missing}."
    viewer = Client(channel, await token_of("view_schedule"))
    assert len((await viewer.list()).schedules) == 2
    await refused(Client(channel, await token_of("run_schedule")).list(), Code.PERMISSION_DENIED)
    operator = Client(channel, await token_of(*OPERATE))
    for call in (operator.run, operator.resume):
        assert "submit_shell" in await refused(call("shell"), Code.PERMISSION_DENIED)
    for token in ("wrong", await token_of(*OPERATE, active=False)):
        await refused(Client(channel, token).list(), Code.UNAUTHENTICATED)
    assert await Schedule.objects.filter(version=0).acount() == 2
