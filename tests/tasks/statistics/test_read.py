"""The figures agree with the tasks, whoever has changed them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db.models import Count
from django.utils import timezone
from psycopg import AsyncConnection

from coordinator.database import conninfo
from tasks import operations, store
from tasks.models import Census as CensusRow
from tasks.models import Statistic, Task
from tasks.reports import Completion, Failure, Pair
from tasks.statements import statement
from tasks.statistics import read
from tasks.statistics.census import Census
from tasks.statistics.histogram import histogram
from tasks.statistics.tally import Tally, tally_of
from tests.tasks.sample import in_s, stored

pytestmark = pytest.mark.django_db(transaction=True)

ME = UUID(int=9)


async def _take_census() -> None:
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as connection:
        await Census().take(connection)


def counted() -> dict[str, int]:
    """By the tasks themselves."""
    return dict(Task.objects.values_list("status").annotate(Count("pk")).order_by())


def test_pending_and_running_are_counted_by_queue() -> None:
    stored(3, queue="mail")
    stored(2, queue="mail", scheduled_at=in_s(3600))
    stored(1, queue="media")
    asyncio.run(_take_census())
    [mail, media] = read.queues()
    assert (mail.queue, mail.pending, mail.due) == ("mail", 5, 3)
    assert mail.oldest_due is not None
    assert (media.queue, media.pending, media.running) == ("media", 1, 0)
    figures = read.overview()
    assert (figures.pending, figures.due, figures.total) == (6, 4, 6)
    assert figures.counted_at is not None


def test_what_is_done_one_by_one_is_summed_up_by_session() -> None:
    for task_id in stored(5):
        operations.cancel(task_id)
        operations.retry(task_id)
        operations.cancel(task_id)
    assert Statistic.objects.values("source").distinct().count() == 1
    assert read.overview().cancelled == 5


def test_an_emptied_queue_disappears() -> None:
    [task_id] = stored(1, queue="mail")
    asyncio.run(_take_census())
    operations.cancel(task_id)
    CensusRow.objects.update(counted_at=timezone.now() - timedelta(seconds=5))
    asyncio.run(_take_census())
    assert read.queues() == []


def test_a_count_that_is_fresh_is_not_repeated() -> None:
    asyncio.run(_take_census())
    stored(3)
    asyncio.run(_take_census())
    assert read.overview().pending == 0


def test_without_a_coordinator_a_limited_count_is_made() -> None:
    stored(3)
    figures = read.overview()
    assert (figures.pending, figures.due, figures.counted_at) == (3, 3, None)
    assert not figures.at_least


def test_cancel_and_retry_keep_the_totals_right() -> None:
    ids = stored(5)
    for task_id in ids:
        operations.cancel(task_id)
    operations.retry(ids[0])
    figures = read.overview()
    assert (figures.cancelled, figures.failed) == (4, 0)
    assert counted() == {"cancelled": 4, "pending": 1}


async def _finish(completions: int, failures: int) -> None:
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as connection:
        pair = Pair("default", 0, in_s(-60), -60)
        claimed = await store.claim(
            connection,
            [pair],
            sinces=[pair.first_at],
            within_s=0,
            room=completions + failures,
            coordinator=ME,
        )
        done, lost = claimed[:completions], claimed[completions:]
        heads = [(task.task_id, task.lease, 1, 0.5, 0.1, "w", ME) for task in done]
        rows = await store.complete(connection, [Completion(*head, "1") for head in heads])
        ended = Tally(
            complete=len(rows), waits=[row.wait_s for row in rows], runs=[0.4] * len(rows)
        )
        heads = [(task.task_id, task.lease, 1, 0.5, 0.1, "w", ME) for task in lost]
        reports = [Failure(*head, "{}", final=True, pause_s=None) for head in heads]
        ended.failed = tally_of(await store.fail(connection, reports)).failed if reports else 0
        await store.tally(connection, ended, ME)


def test_ends_are_in_the_totals_and_the_rates() -> None:
    stored(5)
    asyncio.run(_finish(3, 2))
    figures = read.overview()
    assert (figures.complete, figures.failed) == (3, 2)
    assert 3 / 20 <= figures.complete_per_s <= 3 / 10
    assert counted() == {"complete": 3, "failed": 2}


def test_the_charts_show_what_ended_and_how_long_it_took() -> None:
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


def test_adding_to_a_row_adds_to_every_entry_of_its_histograms() -> None:
    async def add_twice() -> None:
        connecting = await AsyncConnection.connect(conninfo(), autocommit=True)
        async with connecting as connection, connection.transaction():
            await store.tally(connection, Tally(complete=2, runs=[0.01, 2]), ME)
            await store.tally(connection, Tally(complete=1, waits=[5], runs=[2]), ME)

    asyncio.run(add_twice())
    row = Statistic.objects.get(source=ME)
    assert row.complete == 3
    assert row.run == histogram([0.01, 2, 2])
    assert row.wait == histogram([5])


def test_old_rows_are_summed_up_and_the_totals_stay() -> None:
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
        with psycopg.connect(conninfo(), autocommit=True) as connection:
            connection.execute(statement("rollup"))
    after = read.overview()
    assert (after.complete, after.failed) == (before.complete, before.failed) == (17, 3)
    assert Statistic.objects.count() == 2
