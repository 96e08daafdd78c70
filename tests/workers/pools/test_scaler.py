"""Pools that scale by themselves, decided from what is in the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from coordinator.database import conninfo
from tasks.models import Depth
from tasks.store import Connection
from workers.models import Worker, WorkerPool
from workers.pools.scaler import LOOK_S, Scaler

pytestmark = pytest.mark.django_db(transaction=True)


class Fleet:
    """A scaler with a clock of its own, and what it told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[tuple[str, int, int, str]] = []
        self.scaler = Scaler(
            _connect, announce=lambda *said: self.told.append(said), clock=lambda: self.now
        )

    def look(self) -> None:
        async_to_sync(self.scaler.look)()
        self.now += LOOK_S


@asynccontextmanager
async def _connect() -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(conninfo(), autocommit=True) as connection:
        yield connection


def _pool(name: str, **fields: object) -> WorkerPool:
    chosen = {"desired": 2, "maximum": 10, "concurrency": 4, "autoscale": True, **fields}
    return WorkerPool.objects.create(name=name, **chosen)


def _due(queue: str, count: int, wait_s: float) -> None:
    oldest = timezone.now() - timedelta(seconds=wait_s)
    Depth.objects.create(
        queue=queue, pending=count, due=count, oldest_due=oldest, held=0, running=0
    )


def _worker(pool: str, status: str, busy: int, ended: int) -> None:
    Worker.objects.create(
        id=uuid4(), name="w", host="h", pid=1, status=status, pool="process", slots=4,
        busy=busy, tasks_done=ended, pool_name=pool,
    )  # fmt: skip


def test_a_pool_whose_tasks_wait_grows_and_says_why() -> None:
    _pool("mail", queues=["mail"])
    _pool("thumbs", queues=["thumbs"])
    _pool("fixed", autoscale=False)
    _due("mail", 300, wait_s=40)
    fleet = Fleet()
    fleet.look()
    sizes = dict(WorkerPool.objects.values_list("name", "desired"))
    assert sizes["mail"] == 4
    assert sizes["fixed"] == 2
    assert fleet.told == [("mail", 2, 4, "300 due, the oldest for 40.0 s")]
    assert WorkerPool.objects.get(name="mail").scaled_at is not None


def test_a_pool_of_every_queue_sees_every_queue_and_counts_its_own_workers_only() -> None:
    _pool("all", cool_down_s=20)
    _worker("all", "online", busy=8, ended=50)
    _worker("all", "offline", busy=3, ended=1_000)
    _worker("other", "online", busy=40, ended=9)
    fleet = Fleet()
    for _ in range(8):
        fleet.look()
    # Eight busy slots of four: two workers at full load, three with air.
    assert [said[:3] for said in fleet.told] == [("all", 2, 3)]


@pytest.mark.parametrize("state", ["backing_off", "provider_failed"])
def test_a_pool_in_trouble_is_not_taken_out_of_it_by_another_size(state: str) -> None:
    _pool("mail", queues=["mail"], state=state)
    _due("mail", 300, wait_s=40)
    Fleet().look()
    pool = WorkerPool.objects.get(name="mail")
    assert (pool.desired, pool.state) == (4, state)


def test_it_looks_no_more_often_than_workers_tell_what_they_run() -> None:
    _pool("mail")
    _due("mail", 300, wait_s=40)
    fleet = Fleet()
    fleet.look()
    fleet.now -= 1
    _pool("late", queues=["mail"])
    fleet.look()
    assert {said[0] for said in fleet.told} == {"mail"}
