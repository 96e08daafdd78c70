"""The loop, with engines that do not do what they are asked."""

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

from tasks.conf import Settings
from tasks.events.event import NewEvent
from tasks.models import Depth
from tests.workers.pools.local import NOBODY, connect
from workers.models import Worker, WorkerPool
from workers.pools import operations, registry
from workers.pools.provider import Observed, ProviderFailed, Wanted
from workers.pools.reconciler import Reconciler

pytestmark = pytest.mark.django_db(transaction=True)

scale = sync_to_async(operations.scale)


class Engine:
    """Runs as many as it is told to, and can be hurt."""

    name: ClassVar[str] = "compose"

    def __init__(self) -> None:
        self.running = 0
        self.hanging = False
        self.trouble: Exception | None = None
        self.scaled: list[int] = []
        self.closed = False

    async def check(self, wanted: Wanted) -> None:
        if self.trouble:
            raise self.trouble

    async def observe(self, wanted: Wanted) -> Observed:
        if self.hanging:
            await asyncio.Event().wait()
        return Observed(self.running)

    async def scale(self, wanted: Wanted) -> None:
        self.scaled.append(wanted.count)
        self.running = wanted.count

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> dict[str, Engine]:
    """Two, each with a pool of its own."""
    found = {"compose": Engine(), "kubernetes": Engine()}
    monkeypatch.setattr(registry, "engine", found.__getitem__)
    for provider in found:
        WorkerPool.objects.create(name=provider, provider=provider)
    return found


@asynccontextmanager
async def reconciling(
    events: list[NewEvent], clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Reconciler]:
    conf = Settings(provider_timeout_s=0.2)
    reconciler = Reconciler(connect, conf, events.append, lambda: [NOBODY], clock=clock)
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


async def test_an_engine_that_hangs_is_cut_off_and_holds_up_its_own_pool_alone(
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
        assert pool.error == "it did not answer within 0.2 s"
        assert [event.text for event in events] == [
            "pool compose: the provider compose failed: it did not answer within 0.2 s"
        ]
        engines["compose"].hanging = False
        await until("compose", lambda pool: pool.state == "steady" and not pool.error)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (ProviderFailed("no space left on device"), "no space left on device"),
        (ZeroDivisionError("of a kind that nobody foresaw"), "ZeroDivisionError: of a kind"),
    ],
)
async def test_whatever_an_engine_raises_is_the_pool_s_error(
    engines: dict[str, Engine], trouble: Exception, said: str
) -> None:
    async with reconciling([]) as reconciler:
        await until("compose", lambda pool: pool.reconciled_at)
        engines["compose"].trouble = trouble
        reconciler.wake()
        pool = await until("compose", lambda pool: pool.state == "provider_failed")
        assert pool.error.startswith(said)
        assert engines["compose"].scaled == []


async def test_of_two_scalings_at_once_the_later_one_s_count_stands(
    engines: dict[str, Engine],
) -> None:
    async with reconciling([]) as reconciler:
        for count in (7, 2, 5):
            await scale("compose", count)
            reconciler.wake()
        await until("compose", lambda pool: pool.actual == 5)
        assert (engines["compose"].running, engines["compose"].scaled[-1]) == (5, 5)


async def test_who_does_not_lead_does_nothing(engines: dict[str, Engine]) -> None:
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


async def test_an_autoscaler_that_breaks_stops_nothing_else(
    engines: dict[str, Engine], caplog: pytest.LogCaptureFixture
) -> None:
    # No face of a pool takes this; the database does.
    await WorkerPool.objects.filter(name="kubernetes").aupdate(autoscale=True, target_wait_s=0)
    depth = {"pending": 9, "due": 9, "held": 0, "running": 0, "oldest_due": timezone.now()}
    await Depth.objects.acreate(queue="default", **depth)
    await Worker.objects.acreate(
        id=uuid4(), name="w", host="h", pid=1, pool="process", slots=4, pool_name="kubernetes"
    )
    # A look every quarter of a second.
    async with reconciling([], lambda: 20 * time.monotonic()) as reconciler:
        async with asyncio.timeout(10):
            while "autoscaler broke" not in caplog.text:
                await Worker.objects.aupdate(tasks_done=F("tasks_done") + 1)
                reconciler.wake()
                await asyncio.sleep(0.02)
        await scale("compose", 3)
        reconciler.wake()
        await until("compose", lambda _: engines["compose"].running == 3)
