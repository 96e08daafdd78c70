"""Test autoscaling with measurements from the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks.models import QueueDepth
from taskmaster.tasks.statements import Connection
from taskmaster.workers.models import Worker, WorkerPool
from taskmaster.workers.pools.autoscale_loop import INTERVAL_S, AutoscaleLoop

pytestmark = pytest.mark.django_db(transaction=True)


class Fleet:
    """Run a scaler with a test clock, and record the changes that it reports."""

    def __init__(self) -> None:
        self.now = 0.0
        self.resized: list[tuple[str, int, int, str]] = []
        self.scaler = AutoscaleLoop(
            _connect, on_resized=lambda *change: self.resized.append(change), clock=lambda: self.now
        )

    def run_if_due(self) -> None:
        async_to_sync(self.scaler.run_if_due)()
        self.now += INTERVAL_S


@asynccontextmanager
async def _connect() -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(conninfo(), autocommit=True) as connection:
        yield connection


def _pool(name: str, **fields: object) -> WorkerPool:
    chosen = {"desired": 2, "maximum": 10, "concurrency": 4, "autoscale": True, **fields}
    return WorkerPool.objects.create(name=name, **chosen)


def _due(queue: str, count: int, wait_s: float) -> None:
    oldest = timezone.now() - timedelta(seconds=wait_s)
    QueueDepth.objects.create(
        queue=queue, pending=count, due=count, oldest_due=oldest, held=0, running=0
    )


def _worker(pool: str, status: str, busy: int, ended: int) -> None:
    Worker.objects.create(
        id=uuid4(), name="w", host="h", pid=1, status=status, executor="process", slots=4,
        busy=busy, tasks_done=ended, pool=pool,
    )  # fmt: skip


def test_a_pool_with_waiting_tasks_grows_and_states_the_reason() -> None:
    _pool("mail", queues=["mail"])
    _pool("thumbs", queues=["thumbs"])
    _pool("fixed", autoscale=False)
    _due("mail", 300, wait_s=40)
    fleet = Fleet()
    fleet.run_if_due()
    sizes = dict(WorkerPool.objects.values_list("name", "desired"))
    assert sizes["mail"] == 4
    assert sizes["fixed"] == 2
    assert fleet.resized == [("mail", 2, 4, "300 due, the oldest for 40.0 s")]
    assert WorkerPool.objects.get(name="mail").scaled_at is not None


def test_a_pool_of_every_queue_counts_all_queues_but_only_its_own_workers() -> None:
    _pool("all", cool_down_s=20)
    _worker("all", "online", busy=8, ended=50)
    _worker("all", "offline", busy=3, ended=1_000)
    _worker("other", "online", busy=40, ended=9)
    fleet = Fleet()
    for _ in range(8):
        fleet.run_if_due()
    # Two workers with four slots each are fully busy. Three workers have a reserve.
    assert [change[:3] for change in fleet.resized] == [("all", 2, 3)]


@pytest.mark.parametrize("state", ["backing_off", "provider_failed"])
def test_scaling_a_failing_pool_does_not_clear_its_failure(state: str) -> None:
    _pool("mail", queues=["mail"], state=state)
    _due("mail", 300, wait_s=40)
    Fleet().run_if_due()
    pool = WorkerPool.objects.get(name="mail")
    assert (pool.desired, pool.state) == (4, state)


def test_pools_are_measured_at_most_once_per_heartbeat_interval() -> None:
    _pool("mail")
    _due("mail", 300, wait_s=40)
    fleet = Fleet()
    fleet.run_if_due()
    fleet.now -= 1
    _pool("late", queues=["mail"])
    fleet.run_if_due()
    assert {change[0] for change in fleet.resized} == {"mail"}
