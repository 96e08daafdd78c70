"""Test that paused tasks are not claimed, and that claimed ones are returned."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async

from taskmaster.coordinator.support.database import Database
from taskmaster.tasks.models import Task
from taskmaster.tasks.policies import pausing
from taskmaster.tasks.store import async_store
from tests.coordinator.dispatch.bench import Bench, offered, rows, store
from tests.factories import in_s

pytestmark = pytest.mark.django_db(transaction=True)


async def pause(bench: Bench, kind: str, target: str = "") -> None:
    """Pause, and let the coordinator read it and release."""
    await sync_to_async(pausing.pause)(kind, target, "", user=None)
    await bench.pauses.read()
    await bench.release()


async def resume(bench: Bench, kind: str, target: str = "") -> None:
    await sync_to_async(pausing.resume)(kind, target, user=None)
    await bench.pauses.read()


@pytest.mark.parametrize(
    ("kind", "target", "left"),
    [
        ("queue", "mail", ["other", "shell"]),
        ("name", "shell", ["mail of another name", "other"]),
        ("everything", "", []),
    ],
)
async def test_only_what_is_not_paused_is_claimed_until_it_is_resumed(
    bench: Bench, kind: str, target: str, left: list[str]
) -> None:
    worker = await bench.connect(None)
    ids = {
        "mail": (await store("shell", queue="mail"))[0],
        "mail of another name": (await store("any.name", queue="mail"))[0],
        "shell": (await store("shell"))[0],
        "other": (await store("any.name", queue="other"))[0],
    }
    # Older than the margin of the low-water marks.
    await Task.objects.aupdate(scheduled_at=in_s(-60))
    await pause(bench, kind, target)
    for _ in range(3):
        await bench.claim()
    assert sorted(offered(worker)) == sorted(ids[each] for each in left)
    paused = [ids[each] for each in ids if each not in left]
    assert set(await rows(paused, "status", "lease")) == {("pending", 0)}
    await resume(bench, kind, target)
    # Without another scan than the one of the change.
    await bench.claimer._claim_all()
    assert sorted(offered(worker)) == sorted(paused)


async def test_held_and_offered_tasks_are_returned_and_accepted_ones_are_not(bench: Bench) -> None:
    worker = await bench.connect(None)
    [accepted, waiting, other] = [
        *await store("shell", "shell", queue="mail"),
        *await store("shell", queue="other"),
    ]
    await bench.claim()
    assert sorted(offered(worker)) == [accepted, waiting, other]
    ahead = await store("shell", queue="mail", scheduled_at=in_s(20))
    await bench.claim()
    assert len(bench.held) == 1
    bench.dispatcher.record_accepted(worker, worker.leases(accepted=False)[:1])
    await sync_to_async(Task.objects.filter(pk=accepted).update)(status="started", attempt=1)
    await pause(bench, "queue", "mail")
    assert len(bench.held) == 0
    assert set(worker.in_flight) == {accepted, other}
    [stale] = worker.commands
    assert [each.task_id for each in stale.stale.executions] == [waiting]
    fields = ("status", "attempt", "coordinator", "picked_at")
    assert await rows([waiting, *ahead], *fields) == [("pending", 0, None, None)] * 2
    assert await rows([accepted, other], "status") == ["started", "picked"]
    # The worker may still run what it was offered, so the next one waits for its acceptance.
    [unused] = await rows([waiting], "unused_leases")
    assert unused == 0


async def test_a_claim_that_crosses_a_pause_is_returned(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await bench.connect(None)
    ids = await store("shell", "shell") + await store("shell", queue="other")
    claim = async_store.claim_tasks

    async def pause_before_the_reply(*args: Any, **options: Any) -> Any:
        tasks = await claim(*args, **options)
        await pausing_of_default()
        return tasks

    async def pausing_of_default() -> None:
        monkeypatch.undo()
        await sync_to_async(pausing.pause)("queue", "default", "", user=None)
        await sync_to_async(Task.objects.filter(pk=ids[1]).update)(
            status="picked", coordinator=bench.id
        )
        await bench.pauses.read()

    # The second one stays picked, as if its row had been locked when the pause began.
    monkeypatch.setattr(async_store, "claim_tasks", pause_before_the_reply)
    await bench.claim()
    assert offered(worker) == [ids[2]]
    assert await rows(ids, "status") == ["pending", "pending", "picked"]


async def test_due_tasks_of_a_paused_name_do_not_hide_later_tasks_of_their_queue(
    bench: Bench,
) -> None:
    await bench.connect(None)
    paused = await store("shell", scheduled_at=in_s(-60))
    await pause(bench, "name", "shell")
    later = await store("any.name", scheduled_at=in_s(20))
    await bench.claim()
    assert await rows(paused + later, "status") == ["pending", "picked"]
    assert [lease.task_id for lease in bench.held.leases()] == later


async def test_without_a_pause_a_claim_runs_no_other_statement(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.connect(None)
    await store("shell")
    bench.claimer._scanned_at = float("-inf")
    connections = 0
    connection = Database.connection

    def counted(self: Database) -> Any:
        nonlocal connections
        connections += 1
        return connection(self)

    monkeypatch.setattr(Database, "connection", counted)
    await bench.claimer._claim_all()
    # The scan and the claim.
    assert connections == 2
