"""Serve the gRPC calls on schedules, with the same permissions and rules as REST."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from taskmaster.coordinator.rpc.client_calls import ClientCalls
from taskmaster.coordinator.rpc.join_auth import Context
from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc
from taskmaster.tasks.errors import InvalidField, ScheduleNotFound
from taskmaster.tasks.models import Schedule
from taskmaster.tasks.options import short_text
from taskmaster.tasks.permissions import RUN_SCHEDULE, VIEW_SCHEDULE, require
from taskmaster.tasks.schedules import service
from taskmaster.tasks.schedules.stored import state_of, timing_of
from taskmaster.tasks.timing.rules import MAX_SCHEDULE_NAME
from taskmaster.tasks.timing.words import describe

_PAGE_SIZE, _PAGE_SIZE_MAX = 100, 500
_STATES = {
    "active": pb.SCHEDULE_STATE_ACTIVE,
    "paused": pb.SCHEDULE_STATE_PAUSED,
    "ended": pb.SCHEDULE_STATE_ENDED,
}
_TIMES = ("next_due_at", "next_run_at", "paused_at", "ended_at")


class ScheduleService(rpc.ScheduleServiceServicer):
    """List, pause, resume and run schedules on behalf of the user whose token the call carries."""

    def __init__(self, calls: ClientCalls) -> None:
        self._calls = calls

    async def ListSchedules(  # noqa: N802
        self, request: pb.ListSchedulesRequest, context: Context
    ) -> pb.ListSchedulesResponse:
        """Return a page of schedules."""

        def read(user: Any) -> pb.ListSchedulesResponse:
            require(user, VIEW_SCHEDULE)
            size = _page_size(request)
            schedules = Schedule.objects.select_related("owner").defer("args", "kwargs")
            if request.page_token:
                after = short_text(request.page_token, "page_token", MAX_SCHEDULE_NAME)
                schedules = schedules.filter(name__gt=after)
            found = list(schedules.order_by("name")[: size + 1])
            return pb.ListSchedulesResponse(
                schedules=[_message(each) for each in found[:size]],
                next_page_token=found[size - 1].name if len(found) > size else "",
            )

        return await self._calls.run(context, read)

    async def PauseSchedule(  # noqa: N802
        self, request: pb.PauseScheduleRequest, context: Context
    ) -> pb.Schedule:
        """Pause a schedule. Return it."""

        def pause(user: Any) -> pb.Schedule:
            schedule = _find(user, request.name)
            return _message(service.pause(schedule, request.reason, user=user))

        return await self._calls.run(context, pause)

    async def ResumeSchedule(  # noqa: N802
        self, request: pb.ResumeScheduleRequest, context: Context
    ) -> pb.Schedule:
        """Resume a schedule. Return it."""

        def resume(user: Any) -> pb.Schedule:
            return _message(service.resume(_find(user, request.name), user=user))

        return await self._calls.run(context, resume)

    async def RunSchedule(  # noqa: N802
        self, request: pb.RunScheduleRequest, context: Context
    ) -> pb.RunScheduleResponse:
        """Run a schedule now. Return the ids of the run and its task."""

        def run(user: Any) -> pb.RunScheduleResponse:
            schedule = _find(user, request.name)
            made = service.run_now(schedule, user=user, due_at=_due_at(request))
            assert made.task_id is not None
            answer = pb.RunScheduleResponse(run_id=made.pk, task_id=made.task_id)
            answer.due_at.CopyFrom(_stamp(made.due_at))
            return answer

        return await self._calls.run(context, run)


def _find(user: Any, name: str) -> Schedule:
    """Return the schedule of this name. Raise ScheduleNotFound.

    The permissions of the actions are checked first, so that an error shows nothing without them.
    """
    require(user, VIEW_SCHEDULE, RUN_SCHEDULE)
    short_text(name, "name", MAX_SCHEDULE_NAME)
    schedule = Schedule.objects.filter(name=name).first()
    if schedule is None:
        raise ScheduleNotFound(name)
    return schedule


def _page_size(request: pb.ListSchedulesRequest) -> int:
    if request.page_size > _PAGE_SIZE_MAX:
        raise InvalidField(
            "page_size", f"is {request.page_size:,}; it must be from 1 to {_PAGE_SIZE_MAX}."
        )
    return request.page_size or _PAGE_SIZE


def _due_at(request: pb.RunScheduleRequest) -> str | None:
    if not request.HasField("due_at"):
        return None
    try:
        return request.due_at.ToJsonString()
    except ValueError:
        raise InvalidField("due_at", "is out of range.") from None


def _message(schedule: Schedule) -> pb.Schedule:
    message = pb.Schedule(
        id=schedule.pk,
        name=schedule.name,
        task=schedule.task,
        words=describe(timing_of(schedule)),
        timezone=schedule.timezone,
        state=_STATES[state_of(schedule)],
        paused_by=schedule.paused_by,
        pause_reason=schedule.pause_reason,
        ended_reason=schedule.ended_reason,
        owner=schedule.owner.get_username() if schedule.owner else "",
        source=schedule.source,
        runs_made=schedule.runs_made,
        version=schedule.version,
    )
    for field in _TIMES:
        moment = getattr(schedule, field)
        if moment is not None:
            getattr(message, field).CopyFrom(_stamp(moment))
    return message


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
