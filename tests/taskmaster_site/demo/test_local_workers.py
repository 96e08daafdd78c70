"""Test the worker pools of the demo: their sizes at start and shutdown."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from django.db import OperationalError

from taskmaster.taskmaster_site.demo import local_workers
from taskmaster.taskmaster_site.demo.local_workers import DatabaseUnreachable, LocalWorkers
from taskmaster.taskmaster_site.demo.run_mark import RunMark
from taskmaster.workers.models import WorkerPool

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def workers(tmp_path: Path) -> LocalWorkers:
    WorkerPool.objects.all().delete()
    return LocalWorkers(RunMark.create(tmp_path))


def sizes() -> dict[str, tuple[int, int]]:
    return {pool.name: (pool.minimum, pool.desired) for pool in WorkerPool.objects.all()}


def test_the_first_start_asks_for_two_workers(workers: LocalWorkers) -> None:
    asyncio.run(workers.start())
    assert sizes() == {"default": (0, 2)}


def test_a_later_start_keeps_the_size(workers: LocalWorkers) -> None:
    WorkerPool.objects.create(name="default", desired=5)
    asyncio.run(workers.start())
    assert sizes() == {"default": (0, 5)}


def test_local_pools_are_scaled_to_zero_and_restored(workers: LocalWorkers) -> None:
    WorkerPool.objects.create(name="default", minimum=1, desired=3)
    WorkerPool.objects.create(name="cluster", provider="kubernetes", desired=4)
    asyncio.run(workers.stop())
    assert sizes() == {"default": (0, 0), "cluster": (0, 4)}
    asyncio.run(workers.restore())
    assert sizes() == {"default": (1, 3), "cluster": (0, 4)}


def test_an_unavailable_database_is_reported_after_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(local_workers, "_DATABASE_S", 0.5)
    with pytest.raises(DatabaseUnreachable, match="connection refused"):
        asyncio.run(local_workers._with_database(unavailable))
