"""Test that finished tasks are deleted after their retention time, and no others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from taskmaster.coordinator.pruning import pace
from taskmaster.tasks.messages import EndedTasks
from taskmaster.tasks.models import Task, TaskOutput
from taskmaster.tasks.retention import parse
from taskmaster.tasks.statistics.read import overview
from taskmaster.tasks.store import prune_store, sync_store
from tests.coordinator.pruning.sample import (
    DAY,
    aended,
    akept,
    aunfinished,
    leader,
)
from tests.factories import in_s, locked
from tests.schedule_rows import a_run, nightly

pytestmark = pytest.mark.django_db(transaction=True)

_MINUTE = 1 / 1_440


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "BATCH", 4)
    monkeypatch.setattr(pace, "_PAUSE_S", 0.0)


async def test_each_status_has_its_own_time_and_the_boundary_is_exact() -> None:
    old = [
        *await aended("complete", 7 + _MINUTE),
        *await aended("failed", 30 + _MINUTE),
        *await aended("cancelled", 30 + _MINUTE),
    ]
    young = [
        *await aended("complete", 7 - _MINUTE),
        *await aended("failed", 30 - _MINUTE),
        *await aended("cancelled", 30 - _MINUTE),
    ]
    async with leader() as me:
        await me.tasks.prune()
    assert await akept() == set(young)
    assert not await TaskOutput.objects.filter(task_id__in=old).aexists()
    assert await TaskOutput.objects.acount() == len(young)


async def test_a_queue_has_times_of_its_own_and_keeps_others_for_ever() -> None:
    kept = {"queues": {"reports": {"complete": "90d", "failed": None}}}
    gone = [
        *await aended("complete", 8),
        *await aended("failed", 31),
        *await aended("complete", 91, queue="reports"),
        *await aended("cancelled", 31, queue="reports"),
    ]
    stays = [
        *await aended("complete", 89, queue="reports"),
        *await aended("failed", 5_000, queue="reports"),
    ]
    async with leader(kept) as me:
        await me.tasks.prune()
        assert await akept() == set(stays), gone
        me.retention = parse(
            "retention", {"default": dict.fromkeys(("complete", "failed", "cancelled"))}
        )
        await aended("complete", 9_000)
        await me.tasks.prune()
        assert len(await akept()) == len(stays) + 1


async def test_unfinished_tasks_are_never_deleted() -> None:
    ids: list[int] = []
    for status in ("waiting", "pending", "picked", "started"):
        ids += await aunfinished(status, 5_000)
    # A task that was retried has the times of its failed attempt no more; the guard is its status.
    await Task.objects.filter(pk=ids[1]).aupdate(failed_at=in_s(-5_000 * 86_400))
    async with leader() as me:
        await me.tasks.prune()
    assert await akept() == set(ids)


async def test_the_run_of_a_schedule_keeps_the_outcome_of_its_task() -> None:
    run = await sync_to_async(lambda: a_run(nightly(), in_s(-31 * DAY), status="failed"))()
    async with leader() as me:
        await me.tasks.prune()
    assert await akept() == set()
    await run.arefresh_from_db()
    assert run.outcome == "failed"


async def test_all_batches_of_a_long_history_are_deleted_in_one_pass() -> None:
    await aended("complete", 8, 10)
    stays = await aended("failed", 8, 5)
    await aended("complete", 8, 10)
    stays += await aunfinished("pending", 8)
    stays += await aended("complete", 1, 9)
    async with leader() as me:
        await me.tasks.prune()
    assert await akept() == set(stays)


async def test_a_part_is_examined_again_when_its_next_task_expires(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = await aended("failed", 29, 6)
    await aended("complete", 1, 20)
    examined = count_statements(monkeypatch)
    async with leader() as me:
        await me.tasks.prune()
        # Two parts with the failed tasks, or with some; the young tasks are reached in the second.
        assert examined.pop_all() == [0, first[3]]
        await me.tasks.prune()
        assert examined.pop_all() == [first[3]], "only where the young tasks begin"
        await Task.objects.filter(pk__in=first).aupdate(failed_at=in_s(-31 * 86_400))
        me.pass_time(hours=23)
        await me.tasks.prune()
        assert set(first[:4]) <= await akept(), "remembered to expire in a day"
        me.pass_time(hours=1, minutes=1)
        await me.tasks.prune()
    assert not set(first) & await akept()


async def test_the_whole_history_is_walked_again_after_a_day() -> None:
    """A retried task may expire earlier than its failure would have."""
    ids = await aended("failed", 8, 4)
    async with leader() as me:
        await me.tasks.prune()
        assert await akept() == set(ids)
        at = in_s(-7.5 * 86_400)
        await Task.objects.filter(pk__in=ids).aupdate(
            status="complete", failed_at=None, completed_at=at
        )
        me.pass_time(hours=25)
        await me.tasks.prune()
    assert await akept() == set()


async def test_a_locked_task_is_skipped_and_deleted_later() -> None:
    ids = await aended("complete", 8, 3)
    async with leader() as me:
        with locked(ids[1]):
            await me.tasks.prune()
            assert await akept() == {ids[1]}
        me.pass_time(minutes=2)
        await me.tasks.prune()
    assert await akept() == set()


async def test_a_coordinator_that_does_not_lead_deletes_nothing() -> None:
    ids = await aended("complete", 8, 3)
    async with leader() as me:
        me.leading.clear()
        waiting = asyncio.create_task(me.tasks.prune())
        await asyncio.sleep(0)
        assert not waiting.done()
        assert await akept() == set(ids)
        me.leading.set()
        await waiting
    assert await akept() == set()


async def test_a_leader_that_is_replaced_stops_after_its_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = await aended("complete", 8, 12)
    prune = prune_store.prune_tasks
    async with leader() as me:

        async def replaced(*args: Any, **options: Any) -> prune_store.PrunedPart:
            me.leading.clear()
            return await prune(*args, **options)

        monkeypatch.setattr(prune_store, "prune_tasks", replaced)
        await me.tasks.prune()
    assert await akept() == set(ids[4:])


async def test_two_leaders_together_delete_each_task_once_and_disturb_nothing() -> None:
    stays = await aended("failed", 8, 10)
    await aended("complete", 8, 60)
    async with leader() as me, leader() as other:
        await asyncio.gather(me.tasks.prune(), other.tasks.prune())
        for each in (me, other):
            each.pass_time(minutes=2)
            await each.tasks.prune()
    assert await akept() == set(stays)


async def test_an_outage_delays_the_deletion_only(monkeypatch: pytest.MonkeyPatch) -> None:
    await aended("complete", 8, 10)
    monkeypatch.setattr(pace, "RETRY_S", (0.01, 0.01))
    prune, calls = prune_store.prune_tasks, []

    async def broken(connection: Any, *args: Any, **options: Any) -> prune_store.PrunedPart:
        calls.append(options["after"])
        if len(calls) == 2:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return await prune(connection, *args, **options)

    monkeypatch.setattr(prune_store, "prune_tasks", broken)
    async with leader() as me:
        running = asyncio.create_task(me.tasks.run())
        try:
            async with asyncio.timeout(30):
                while await Task.objects.aexists():
                    await asyncio.sleep(0.02)
        finally:
            running.cancel()
    assert calls[1] == calls[2], "the batch that failed is repeated"


async def test_the_counters_of_ended_tasks_do_not_fall() -> None:
    await aended("complete", 8, 3)
    await sync_to_async(record)(complete=3)
    async with leader() as me:
        await me.tasks.prune()
    assert await akept() == set()
    assert (await sync_to_async(overview)()).complete == 3


def record(**counts: int) -> None:
    sync_store.record_completions(EndedTasks(**counts), using="default")


class _Examined(list[int]):
    """Hold the ids after which statements examine tasks."""

    def pop_all(self) -> list[int]:
        found = list(self)
        self.clear()
        return found


def count_statements(monkeypatch: pytest.MonkeyPatch) -> _Examined:
    """Record after which id each statement examines."""
    examined, prune = _Examined(), prune_store.prune_tasks

    async def recorded(*args: Any, **options: Any) -> prune_store.PrunedPart:
        examined.append(options["after"])
        return await prune(*args, **options)

    monkeypatch.setattr(prune_store, "prune_tasks", recorded)
    return examined
