"""Test that reports are written in fenced batches and acknowledged when they are durable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.reports.flusher import Flusher
from taskmaster.coordinator.support.database import Database, conninfo
from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.messages import ClaimedTask, Lease
from taskmaster.tasks.models import Statistic, Task, TaskOutput
from tests.coordinator.rpc.intruder import report
from tests.coordinator.sample import Clock, claim, lease
from tests.system.fleet import acount
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

HERON = UUID(int=7)


class Parts:
    """A flusher with a real database, and how often it made tasks pending."""

    def __init__(self, **settings: Any) -> None:
        conf = Settings(**settings)
        self.id = uuid4()
        self.pending_calls = 0
        self.database = Database(conninfo(), conf)
        publisher = EventPublisher(self.database)
        self.flusher = Flusher(
            self.database, conf, self.id, publisher, on_pending=self._count_pending_call
        )

    def _count_pending_call(self) -> None:
        self.pending_calls += 1

    async def claim(self, count: int = 1, **fields: object) -> list[ClaimedTask]:
        return await claim(self.database, self.id, count, **fields)

    async def write(self, *reports: dict[str, Any]) -> list[Lease]:
        """Write the reports as one update of the worker heron."""
        update = pb.StatusUpdate()
        for fields in reports:
            update.MergeFrom(pb.StatusUpdate(**fields))
        async with asyncio.timeout(15):
            return await self.flusher.write(update, "heron", HERON)


@asynccontextmanager
async def flushing(**settings: Any) -> AsyncIterator[Parts]:
    parts = Parts(**settings)
    await parts.database.open()
    running = asyncio.create_task(parts.flusher.run())
    try:
        yield parts
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await parts.database.close()


def started(task: ClaimedTask) -> dict[str, Any]:
    return report("started", task.task_id, task.lease, 1)


def completed(task: ClaimedTask, result: str = "7") -> dict[str, Any]:
    return report("completed", task.task_id, task.lease, 1, result=result)


async def test_an_acknowledged_start_is_durable() -> None:
    async with flushing() as parts:
        [task] = await parts.claim()
        assert await parts.write(started(task)) == []
        row = await Task.objects.aget(pk=task.task_id)
        assert (row.status, row.attempt, row.worker) == ("started", 1, "heron")
        assert parts.flusher.flushed_at is not None
        assert parts.pending_calls == 0


async def test_a_start_and_its_end_in_one_flush_complete_the_task() -> None:
    async with flushing() as parts:
        tasks = await parts.claim(20)
        reports = [each for task in tasks for each in (started(task), completed(task))]
        assert await parts.write(*reports) == []
        assert await acount(status="complete", attempt=1, result=7) == 20
        totals = [row.complete async for row in Statistic.objects.all()]
        assert sum(totals) == 20


async def test_a_stale_lease_is_returned_and_changes_nothing() -> None:
    async with flushing() as parts:
        [task, other] = await parts.claim(2)
        old = task._replace(lease=task.lease - 1)
        assert await parts.write(completed(old), completed(other)) == [lease(old)]
        assert await acount(pk=task.task_id, status="picked") == 1
        assert await acount(pk=other.task_id, status="complete") == 1
        # The lease has ended, so a doubled report is stale.
        assert await parts.write(completed(other)) == [lease(other)]


async def test_of_two_leases_of_one_task_the_older_is_stale() -> None:
    async with flushing() as parts:
        [task] = await parts.claim()
        await Task.objects.filter(pk=task.task_id).aupdate(lease=2)
        first, second = await asyncio.gather(
            parts.write(started(task)), parts.write(started(task._replace(lease=2)))
        )
        assert (first, second) == ([Lease(task.task_id, 1)], [])


async def test_a_result_that_postgresql_rejects_fails_only_its_own_task() -> None:
    async with flushing() as parts:
        tasks = await parts.claim(9)
        results = ["7"] * 4 + ["nonsense"] + ["7"] * 4
        reports = [completed(*each) for each in zip(tasks, results, strict=True)]
        assert await parts.write(*reports) == []
        assert await acount(status="complete", result=7) == 8
        [failed] = [task async for task in Task.objects.filter(status="failed")]
        assert failed.pk == tasks[4].task_id
        assert failed.errors[0]["message"] == "the result is not JSON that PostgreSQL can store"


async def test_a_failed_attempt_is_pending_again_and_wakes_the_claimers() -> None:
    async with flushing() as parts:
        [task] = await parts.claim(max_attempts=2)
        failure = report("failed", task.task_id, task.lease, 1, message="no such file")
        assert await parts.write(failure) == []
        row = await Task.objects.aget(pk=task.task_id)
        assert (row.status, row.attempt) == ("pending", 1)
        assert row.errors[0]["message"] == "no such file"
        assert parts.pending_calls == 1


def times(entry: dict[str, Any]) -> list[datetime]:
    """Return when the attempt of an entry in `errors` was due, started and ended."""
    return [datetime.fromisoformat(entry[name]) for name in ("due", "started", "at")]


async def test_each_failed_attempt_keeps_when_it_was_due_started_and_ended() -> None:
    async with flushing() as parts:
        [task] = await parts.claim(max_attempts=2)
        due = (await Task.objects.aget(pk=task.task_id)).scheduled_at
        update = pb.StatusUpdate(now_us=100_000_000)
        failure = {"started_at_us": 70_000_000, "finished_at_us": 90_000_000}
        update.MergeFrom(
            pb.StatusUpdate(**report("failed", task.task_id, task.lease, 1, **failure))
        )
        await parts.flusher.write(update, "heron", HERON)
        row = await Task.objects.aget(pk=task.task_id)
        was_due, started_at, ended = times(row.errors[0])
        assert was_due == due
        assert started_at == row.started_at
        assert (ended - started_at).total_seconds() == pytest.approx(20)
        assert row.scheduled_at > ended


async def test_released_tasks_are_pending_again_without_an_attempt() -> None:
    async with flushing() as parts:
        tasks = await parts.claim(3)
        parts.flusher.release([lease(task) for task in tasks[:2]])
        await parts.flusher.wait_until_written()
        assert await acount(status="pending", attempt=0, coordinator=None) == 2
        assert await acount(status="picked") == 1
        assert parts.pending_calls == 1


async def test_a_release_tells_whether_an_attempt_may_run_unreported() -> None:
    async with flushing() as parts:
        held, offered, declined = await parts.claim(3)
        parts.flusher.release_held([lease(held)])
        parts.flusher.release([lease(offered)])
        await parts.write(report("declined", declined.task_id, declined.lease, 1))
        await parts.flusher.wait_until_written()
        unused = {task.pk: task.unused_leases async for task in Task.objects.all()}
        assert unused == {held.task_id: 1, offered.task_id: 0, declined.task_id: 1}


async def test_a_lost_attempt_is_recorded_with_its_class() -> None:
    async with flushing() as parts:
        [task] = await parts.claim(max_attempts=2)
        await parts.write(started(task))
        began = (await Task.objects.aget(pk=task.task_id)).started_at
        parts.flusher.record_lost([(lease(task), 1)], "heron", HERON)
        await parts.flusher.wait_until_written()
        row = await Task.objects.aget(pk=task.task_id)
        assert (row.status, row.errors[0]["class"]) == ("pending", "lost")
        # The loss does not change when the attempt started.
        assert times(row.errors[0])[1] == row.started_at == began


async def test_output_is_stored() -> None:
    async with flushing() as parts:
        [task] = await parts.claim()
        await parts.write(started(task))
        output = report("output", task.task_id, task.lease, 1, seq=1, text="a\0b")
        assert await parts.write(output) == []
        chunk = await TaskOutput.objects.aget(task_id=task.task_id)
        assert chunk.text == "a\N{REPLACEMENT CHARACTER}b"


async def test_a_large_queue_of_reports_is_written_in_several_batches() -> None:
    async with flushing(flush_batch=5) as parts:
        tasks = await parts.claim(23)
        stale = await asyncio.gather(*(parts.write(completed(task)) for task in tasks))
        assert stale == [[]] * 23
        assert await acount(status="complete") == 23


async def test_reports_are_retried_after_a_broken_connection() -> None:
    async with flushing() as parts:
        [task] = await parts.claim()
        async with await psycopg.AsyncConnection.connect(conninfo(), autocommit=True) as locker:
            await locker.execute("BEGIN")
            await locker.execute(
                "SELECT FROM taskmaster_tasks_task WHERE id = %s FOR UPDATE", [task.task_id]
            )
            writing = asyncio.create_task(parts.write(completed(task)))
            # The flush waits for the row lock. End its session.
            await until(lambda: parts.flusher.waiting_since is not None)
            ended = None
            while not ended:
                cursor = await locker.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
                ended = await cursor.fetchone()
            await until(lambda: parts.database.outage.error_count)
            assert not writing.done()
            await locker.execute("COMMIT")
        assert await writing == []
        assert await acount(status="complete") == 1


async def test_a_report_that_waits_for_half_a_second_is_late() -> None:
    clock, conf = Clock(), Settings()
    database = Database(conninfo(), conf)
    flusher = Flusher(
        database,
        conf,
        uuid4(),
        EventPublisher(database),
        on_pending=lambda: None,
        clock=clock,
    )
    assert not flusher.is_late()
    flusher.release([Lease(1, 1)])
    clock.now += 0.4
    assert not flusher.is_late()
    clock.now += 0.2
    assert flusher.is_late()
