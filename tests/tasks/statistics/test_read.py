"""Test that the figures agree with the tasks after every kind of change."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from math import inf
from uuid import UUID, uuid4

import pytest
from django.db.models import Count
from django.utils import timezone
from psycopg import AsyncConnection

from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks import task_actions
from taskmaster.tasks.messages import Completion, EndedTasks, Failure, QueuePriority, count_failures
from taskmaster.tasks.models import DepthSnapshot, Statistic, Task
from taskmaster.tasks.statistics import read
from taskmaster.tasks.statistics.depth import DepthCounter
from taskmaster.tasks.statistics.histogram import histogram
from taskmaster.tasks.store import async_store as store
from taskmaster.tasks.store import sync_store
from tests.coordinator.sample import Clock
from tests.factories import in_s, stored

pytestmark = pytest.mark.django_db(transaction=True)

ME = UUID(int=9)


async def _snapshot_depth() -> None:
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as connection:
        await DepthCounter().count(connection)


def counted() -> dict[str, int]:
    """Count the tasks themselves."""
    return dict(Task.objects.values_list("status").annotate(Count("pk")).order_by())


def test_pending_and_running_are_counted_by_queue() -> None:
    stored(3, queue="mail")
    stored(2, queue="mail", scheduled_at=in_s(3600))
    stored(1, queue="media")
    asyncio.run(_snapshot_depth())
    [mail, media] = read.queues()
    assert (mail.queue, mail.pending, mail.due) == ("mail", 5, 3)
    assert mail.oldest_due is not None
    assert (media.queue, media.pending, media.running) == ("media", 1, 0)
    figures = read.overview()
    assert (figures.pending, figures.due, figures.total) == (6, 4, 6)
    assert figures.counted_at is not None


def test_parked_tasks_are_counted_by_queue() -> None:
    ids = stored(3, queue="mail") + stored(2, queue="media")
    parked = {"status": "waiting", "waiting_reason": "unknown_name", "waiting_for": "shell"}
    Task.objects.filter(pk__in=ids[1:]).update(**parked)
    assert (read.overview().waiting, read.overview().total) == (4, 5)
    asyncio.run(_snapshot_depth())
    [mail, media] = read.queues()
    assert (mail.queue, mail.pending, mail.waiting) == ("mail", 1, 2)
    # A queue with parked tasks only is listed.
    assert (media.queue, media.pending, media.waiting) == ("media", 0, 2)
    figures = read.overview()
    assert (figures.waiting, figures.pending, figures.due, figures.total) == (4, 1, 1, 5)
    assert figures.counted_at is not None


def test_single_changes_are_summed_per_session() -> None:
    for task_id in stored(5):
        task_actions.cancel(task_id)
        task_actions.retry(task_id)
        task_actions.cancel(task_id)
    assert Statistic.objects.values("source").distinct().count() == 1
    assert read.overview().cancelled == 5


def test_an_emptied_queue_disappears() -> None:
    [task_id] = stored(1, queue="mail")
    asyncio.run(_snapshot_depth())
    task_actions.cancel(task_id)
    DepthSnapshot.objects.update(counted_at=timezone.now() - timedelta(seconds=5))
    asyncio.run(_snapshot_depth())
    assert read.queues() == []


def test_a_recent_count_is_not_repeated() -> None:
    asyncio.run(_snapshot_depth())
    stored(3)
    asyncio.run(_snapshot_depth())
    assert read.overview().pending == 0


def test_without_a_coordinator_a_limited_count_is_made() -> None:
    stored(3)
    figures = read.overview()
    assert (figures.pending, figures.due, figures.counted_at) == (3, 3, None)
    assert not figures.at_least


def test_cancel_and_retry_keep_the_totals_correct() -> None:
    ids = stored(5)
    for task_id in ids:
        task_actions.cancel(task_id)
    task_actions.retry(ids[0])
    figures = read.overview()
    assert (figures.cancelled, figures.failed) == (4, 0)
    assert counted() == {"cancelled": 4, "pending": 1}


async def _finish(completions: int, failures: int) -> None:
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as connection:
        pair = QueuePriority("default", 0, in_s(-60), -60)
        claimed = await store.claim_tasks(
            connection,
            [pair],
            low_marks=[pair.first_at],
            within_s=0,
            limit=completions + failures,
            coordinator=ME,
        )
        done, lost = claimed[:completions], claimed[completions:]
        heads = [(task.task_id, task.lease, 1, 0.5, 0.1, "w", ME) for task in done]
        async with connection.transaction():
            rows = await store.complete_attempts(
                connection, [Completion(*head, "1") for head in heads]
            )
            heads = [(task.task_id, task.lease, 1, 0.5, 0.1, "w", ME) for task in lost]
            reports = [Failure(*head, "{}", final=True, pause_s=None) for head in heads]
            failed = (
                count_failures(await store.fail_attempts(connection, reports)).failed
                if reports
                else 0
            )
            ended = EndedTasks(
                complete=len(rows),
                failed=failed,
                wait=histogram([row.wait_s for row in rows]),
                run=histogram([0.4] * len(rows)),
            )
            await store.record_completions(connection, ended, ME)


def test_finished_tasks_are_in_the_totals_and_the_rates() -> None:
    stored(5)
    asyncio.run(_finish(3, 2))
    figures = read.overview()
    assert (figures.complete, figures.failed) == (3, 2)
    assert 3 / 20 <= figures.complete_per_s <= 3 / 10
    assert counted() == {"complete": 3, "failed": 2}


def test_the_numbers_agree_while_tasks_pass_and_are_right_at_the_end() -> None:
    stored(300)

    async def drain() -> None:
        for _ in range(30):
            await _finish(9, 1)

    passing = threading.Thread(target=asyncio.run, args=(drain(),))
    passing.start()
    seen = set()
    while passing.is_alive():
        sync_store.snapshot_queue_depth(fresh_s=0, using="default")
        # More tasks end before the figures are read.
        figures = read.overview()
        seen.add((figures.total, figures.complete + figures.failed + figures.held))
    passing.join()
    assert {total for total, _ in seen} == {300}
    sync_store.snapshot_queue_depth(fresh_s=0, using="default")
    figures = read.overview()
    assert (figures.pending, figures.complete, figures.failed) == (0, 270, 30)
    assert len(seen) > 1


def test_an_outdated_count_is_replaced_by_numbers_that_agree() -> None:
    stored(5)
    asyncio.run(_snapshot_depth())
    asyncio.run(_finish(2, 1))
    figures = read.overview()
    assert (figures.pending, figures.complete, figures.failed) == (5, 0, 0)
    DepthSnapshot.objects.update(counted_at=timezone.now() - timedelta(minutes=5))
    figures = read.overview()
    assert (figures.pending, figures.complete, figures.failed, figures.total) == (2, 2, 1, 5)


def test_a_count_that_took_long_is_repeated_when_the_tasks_have_settled() -> None:
    clock = Clock()
    counter = DepthCounter(clock)

    def count(*, settled: bool = False) -> int:
        DepthSnapshot.objects.update(counted_at=timezone.now() - timedelta(seconds=1))
        counter.count_for_web(settled=settled)
        return read.overview().pending

    stored(3)
    assert count() == 3
    assert counter.settles_at(clock.now) == inf
    for expected in (4, 5):
        counter._took_s = 10.0
        stored(1)
        assert count() == expected - 1
        # The second time, the limit of the settled counts applies.
        assert counter.settles_at(clock.now) == clock.now + (0.25 if expected == 4 else 200.0)
        assert count(settled=True) == expected
        assert counter.settles_at(clock.now) == inf


def test_the_charts_show_finished_tasks_and_their_run_times() -> None:
    stored(4)
    asyncio.run(_finish(4, 0))
    row = Statistic.objects.get(source=ME)
    end = int(row.at.timestamp()) + read.STEP_S
    series = read._read_series(end)
    assert len(series.at) == len(series.complete) == read.STEPS
    assert series.at[-1] == end - read.STEP_S
    assert series.complete[-1] == 0.4
    assert series.run_p50_ms[-1] == pytest.approx(400, rel=0.3)
    assert series.wait_p95_ms[-1] is not None
    assert series.run_p50_ms[0] is None


def test_adding_to_a_row_adds_to_every_bucket_of_its_histograms() -> None:
    async def add_twice() -> None:
        connecting = await AsyncConnection.connect(conninfo(), autocommit=True)
        async with connecting as connection, connection.transaction():
            first = EndedTasks(complete=2, run=histogram([0.01, 2]))
            await store.record_completions(connection, first, ME)
            second = EndedTasks(complete=1, wait=histogram([5]), run=histogram([2]))
            await store.record_completions(connection, second, ME)

    asyncio.run(add_twice())
    row = Statistic.objects.get(source=ME)
    assert row.complete == 3
    assert row.run == histogram([0.01, 2, 2])
    assert row.wait == histogram([5])


def test_old_rows_are_rolled_up_and_the_totals_stay() -> None:
    old = timezone.now() - timedelta(hours=2)
    for index in range(3):
        Statistic.objects.create(
            at=old + timedelta(seconds=10 * index),
            source=uuid4(),
            complete=5,
            failed=1,
            wait=[],
            run=[],
        )
    Statistic.objects.create(at=timezone.now(), source=uuid4(), complete=2, wait=[], run=[])
    before = read.overview()
    for _ in range(2):
        sync_store.rollup_statistics(using="default")
    after = read.overview()
    assert (after.complete, after.failed) == (before.complete, before.failed) == (17, 3)
    assert Statistic.objects.count() == 2
