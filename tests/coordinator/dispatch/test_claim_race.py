"""Test that concurrent claims take each task exactly once."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks.enqueue import bulk
from taskmaster.tasks.messages import QueuePriority
from taskmaster.tasks.models import Task
from taskmaster.tasks.statements import Connection
from taskmaster.tasks.store import async_store as store
from tests.factories import a_task

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 1_000
CLAIMERS = 4
PRIORITIES = (0, 0, 0, 0, 7, 7, -3)
LONG_AGO = datetime.now(UTC) - timedelta(hours=1)


def deadlocks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def store_rounds() -> list[int]:
    """Store a few due tasks for each round, in a queue of its own."""
    return bulk(
        a_task(queue=f"round-{number}", priority=priority)
        for number in range(ROUNDS)
        for priority in PRIORITIES
    )


async def claim(claimer: Connection, number: int, me: int, limit: int) -> list[int]:
    """Claim tasks of a round. Each claimer names the pairs in another order."""
    pairs = [
        QueuePriority(f"round-{number}", priority, LONG_AGO, -1.0) for priority in set(PRIORITIES)
    ]
    pairs = pairs[me % len(pairs) :] + pairs[: me % len(pairs)]
    low_marks = [LONG_AGO] * len(pairs)
    claimed = await store.claim_tasks(
        claimer, pairs, low_marks=low_marks, within_s=0.0, limit=limit, coordinator=UUID(int=me)
    )
    return [task.task_id for task in claimed]


async def race(claimers: list[Connection], number: int, wins: Counter[int]) -> list[int]:
    """Claim concurrently until no claimer finds a task."""
    taken: list[int] = []
    while True:
        # Together they ask for more tasks than there are, so they must skip locked ones.
        shares = await asyncio.gather(
            *(claim(claimer, number, me, limit=2) for me, claimer in enumerate(claimers))
        )
        wins.update({me: len(share) for me, share in enumerate(shares)})
        if not any(shares):
            return taken
        taken.extend(task_id for share in shares for task_id in share)


@pytest.mark.timeout(300)
async def test_a_thousand_races_claim_each_task_exactly_once() -> None:
    before = await sync_to_async(deadlocks)()
    ids = await sync_to_async(store_rounds)()
    taken, wins = list[int](), Counter[int]()
    async with AsyncExitStack() as stack, asyncio.timeout(240):
        claimers = [
            await stack.enter_async_context(
                await psycopg.AsyncConnection.connect(conninfo(), autocommit=True)
            )
            for _ in range(CLAIMERS)
        ]
        for number in range(ROUNDS):
            taken += await race(claimers, number, wins)
        for claimer in claimers:
            await claimer.execute("SELECT pg_stat_force_next_flush()")
    assert Counter(taken) == Counter(ids)
    assert min(wins[me] for me in range(CLAIMERS)) > ROUNDS / 10, f"no race: {wins}"
    assert await Task.objects.exclude(lease=1, status="picked").acount() == 0
    assert await sync_to_async(deadlocks)() == before


async def test_a_claim_skips_the_tasks_of_an_uncommitted_claim() -> None:
    [first, second] = await sync_to_async(bulk)([a_task(queue="round-0"), a_task(queue="round-0")])
    async with (
        asyncio.timeout(10),
        await psycopg.AsyncConnection.connect(conninfo()) as slow,
        await psycopg.AsyncConnection.connect(conninfo(), autocommit=True) as quick,
    ):
        assert await claim(slow, 0, 0, limit=1) == [first]
        assert await claim(quick, 0, 1, limit=2) == [second]
        await slow.rollback()
        assert await claim(quick, 0, 1, limit=2) == [first]
