"""Test the reconciler, also with providers that hang or fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import ClassVar
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.db.models import F
from django.utils import timezone

from taskmaster.tasks.conf import Settings
from taskmaster.tasks.event import NewEvent
from taskmaster.tasks.models import QueueDepth
from taskmaster.workers.models import Worker, WorkerPool
from taskmaster.workers.pools import operations
from taskmaster.workers.pools.provider import DesiredPool, ObservedPool, ProviderFailed
from taskmaster.workers.pools.reconciler import Reconciler
from tests.workers.pools.local import NO_COORDINATOR, connect

pytestmark = pytest.mark.django_db(transaction=True)

scale = sync_to_async(operations.scale)


class Engine:
    """Run the desired number of workers, or hang or fail as configured."""

    name: ClassVar[str] = "compose"

    def __init__(self) -> None:
        self.running = 0
        self.hanging = False
        self.error: Exception | None = None
        self.scaled: list[int] = []
        self.closed = False

    async def check(self, desired: DesiredPool) -> None:
        if self.error:
            raise self.error

    async def observe(self, desired: DesiredPool) -> ObservedPool:
        if self.hanging:
            await asyncio.Event().wait()
        return ObservedPool(self.running)

    async def scale(self, desired: DesiredPool) -> None:
        self.scaled.append(desired.count)
        self.running = desired.count

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> dict[str, Engine]:
    """Install two providers and create a pool for each."""
    found = {"compose": Engine(), "kubernetes": Engine()}
    for module in ("reconciler", "operations"):
        monkeypatch.setattr(f"taskmaster.workers.pools.{module}.load_provider", found.__getitem__)
    for provider in found:
        WorkerPool.objects.create(name=provider, provider=provider)
    return found


@asynccontextmanager
async def reconciling(
    events: list[NewEvent], clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Reconciler]:
    conf = Settings(provider_timeout_s=0.2)
    reconciler = Reconciler(connect, conf, events.append, lambda: [NO_COORDINATOR], clock=clock)
    reconciler.leading.set()
    task = asyncio.create_task(reconciler.run())
    try:
        yield reconciler
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(name: str, holds: Callable[[WorkerPool], object]) -> WorkerPool:
    async with asyncio.timeout(10):
        while not holds(pool := await WorkerPool.objects.aget(name=name)):
            await asyncio.sleep(0.02)
    return pool


async def test_a_provider_that_hangs_times_out_and_delays_only_its_own_pool(
    engines: dict[str, Engine],
) -> None:
    events: list[NewEvent] = []
    engines["compose"].hanging = True
    async with reconciling(events) as reconciler:
        await until("compose", lambda pool: pool.state == "provider_failed")
        await scale("kubernetes", 3)
        reconciler.wake()
        await until("kubernetes", lambda _: engines["kubernetes"].running == 3)
        pool = await until("compose", lambda pool: pool.failures >= 2)
        assert pool.error == "no answer within 0.2 s"
        assert [event.text for event in events] == [
            "pool compose: the provider compose failed: no answer within 0.2 s"
        ]
        engines["compose"].hanging = False
        await until("compose", lambda pool: pool.state == "steady" and not pool.error)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ProviderFailed("no space left on device"), "no space left on device"),
        (ZeroDivisionError("of an unexpected kind"), "ZeroDivisionError: of an unexpected"),
    ],
)
async def test_any_exception_of_a_provider_becomes_the_error_of_its_pool(
    engines: dict[str, Engine], error: Exception, message: str
) -> None:
    async with reconciling([]) as reconciler:
        await until("compose", lambda pool: pool.reconciled_at)
        engines["compose"].error = error
        reconciler.wake()
        pool = await until("compose", lambda pool: pool.state == "provider_failed")
        assert pool.error.startswith(message)
        assert engines["compose"].scaled == []


async def test_the_last_of_several_scalings_wins(
    engines: dict[str, Engine],
) -> None:
    async with reconciling([]) as reconciler:
        for count in (7, 2, 5):
            await scale("compose", count)
            reconciler.wake()
        await until("compose", lambda pool: pool.actual == 5)
        assert (engines["compose"].running, engines["compose"].scaled[-1]) == (5, 5)


async def test_a_reconciler_that_does_not_lead_does_nothing(engines: dict[str, Engine]) -> None:
    async with reconciling([]) as reconciler:
        await until("compose", lambda pool: pool.reconciled_at)
        reconciler.leading.clear()
        reconciler.wake()
        await until("compose", lambda _: engines["compose"].closed)
        await scale("compose", 4)
        reconciler.wake()
        await until("compose", lambda pool: pool.desired == 4)
        assert engines["compose"].scaled == []
        reconciler.leading.set()
        await until("compose", lambda _: engines["compose"].running == 4)


async def test_a_failing_autoscaler_does_not_stop_the_reconciler(
    engines: dict[str, Engine], caplog: pytest.LogCaptureFixture
) -> None:
    # The validation rejects a target wait of 0, but the database accepts it.
    await WorkerPool.objects.filter(name="kubernetes").aupdate(autoscale=True, target_wait_s=0)
    depth = {"pending": 9, "due": 9, "held": 0, "running": 0, "oldest_due": timezone.now()}
    await QueueDepth.objects.acreate(queue="default", **depth)
    await Worker.objects.acreate(
        id=uuid4(), name="w", host="h", pid=1, executor="process", slots=4, pool="kubernetes"
    )
    # The clock runs 20 times faster, so a measurement takes place every quarter of a second.
    async with reconciling([], lambda: 20 * time.monotonic()) as reconciler:
        async with asyncio.timeout(10):
            while "autoscaling failed unexpectedly" not in caplog.text:
                await Worker.objects.aupdate(tasks_done=F("tasks_done") + 1)
                reconciler.wake()
                await asyncio.sleep(0.02)
        await scale("compose", 3)
        reconciler.wake()
        await until("compose", lambda _: engines["compose"].running == 3)
