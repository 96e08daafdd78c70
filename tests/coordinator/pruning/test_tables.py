"""Test that old events, operations, offline workers and idempotency keys are deleted."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

import pytest
from django.contrib.auth.models import User

from taskmaster.coordinator.pruning import pace
from taskmaster.tasks.models import Event, IdempotencyKey, Operation
from taskmaster.workers.models import Worker
from tests.coordinator.pruning.sample import DAY, leader
from tests.factories import in_s

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "BATCH", 4)
    monkeypatch.setattr(pace, "_PAUSE_S", 0.0)


async def an_operation(state: str, created: float, finished: datetime | None = None) -> str:
    """Store an operation that was created this number of days ago. Return its error, its name."""
    name = f"{state} {created} {finished is not None}"
    await Operation.objects.acreate(
        action="cancel", state=state, total=0, upper_id=0, error=name, user="ann",
        created_at=in_s(-created * DAY), finished_at=finished,
    )  # fmt: skip
    return name


async def a_worker(status: str, days: float) -> str:
    """Store a worker that was last seen this number of days ago. Return its name."""
    name = f"{status} {days}"
    await Worker.objects.acreate(
        id=uuid4(), name=name, host="here", pid=7, executor="thread", slots=4, status=status,
        last_seen_at=in_s(-days * DAY),
    )  # fmt: skip
    return name


async def test_only_the_newest_events_are_kept() -> None:
    for number in range(1, 31):
        await Event.objects.acreate(kind="x", text="x", task_id=number)
    async with leader(events_kept=10) as me:
        await me.tables.prune()
    kept = [each async for each in Event.objects.order_by("pk").values_list("task_id", flat=True)]
    assert kept == list(range(21, 31))


async def test_ended_and_unconfirmed_operations_are_deleted_and_active_ones_stay() -> None:
    for state in ("complete", "cancelled", "failed"):
        await an_operation(state, 50, in_s(-31 * DAY))
    await an_operation("preview", 31)
    stays = {
        await an_operation("complete", 50, in_s(-29 * DAY)),
        await an_operation("preview", 29),
        await an_operation("queued", 500),
        await an_operation("running", 500),
    }
    async with leader() as me:
        await me.tables.prune()
    assert {each.error async for each in Operation.objects.all()} == stays


async def test_workers_that_are_offline_for_a_day_are_deleted() -> None:
    for _ in range(9):
        await a_worker("offline", 1.01)
    stays = {
        await a_worker("offline", 0.99),
        await a_worker("online", 9),
        await a_worker("draining", 9),
    }
    async with leader() as me:
        await me.tables.prune()
    assert {each.name async for each in Worker.objects.all()} == stays


async def test_expired_idempotency_keys_are_deleted() -> None:
    user = await User.objects.acreate(username="ann")
    for key, days in (("old", 1.01), ("young", 0.99)):
        await IdempotencyKey.objects.acreate(
            user=user, key=key, request="", answer="", location="", at=in_s(-days * DAY)
        )
    async with leader() as me:
        await me.tables.prune()
    assert [each.key async for each in IdempotencyKey.objects.all()] == ["young"]


async def test_operations_and_workers_can_be_kept_for_ever() -> None:
    await an_operation("complete", 5_000, in_s(-5_000 * DAY))
    await a_worker("offline", 5_000)
    async with leader({"operations": None, "workers": None}) as me:
        await me.tables.prune()
    assert await Operation.objects.acount() == await Worker.objects.acount() == 1
