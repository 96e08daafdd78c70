"""Test that no stored task breaks a worker's stream, whatever is in its row."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from taskmaster.tasks.models import Task
from tests.system.fleet import WireWorker, coordinator, end
from tests.system.workers import MODULE, online, run_worker, store
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

#: The largest args and kwargs that an offer carries, in bytes.
_LARGEST = 15 * 1024 * 1024
#: Each character is sent to a child with three times its bytes.
_UMLAUTS = '["' + "ü" * (_LARGEST // 2 - 3) + '"]'
_DEEP = "[" * 5_000 + "]" * 5_000
#: Names in unusual Unicode: directions, joined characters, the largest code points.
_NAMES = (
    "\u202e" * 200,
    "\U0010ffff" * 200,
    "e\u0301\u200d" * 66,
    "\ufeff\ufffe\uffff",
    "\x01\x7f",
)


@sync_to_async
def change(task_id: int, **values: object) -> None:
    """Write columns by SQL, past all checks of a submission."""
    columns = ", ".join(f"{name} = %s" for name in values)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE taskmaster_tasks_task SET {columns} WHERE id = %s", [*values.values(), task_id]
        )


async def insert(task: str, **values: object) -> int:
    """Store a task that is due when its columns are written."""
    [task_id] = await store(name=task, args='["x"]', kwargs="{}", max_attempts=5)
    await change(task_id, **values)
    return task_id


async def all_ended(ids: list[int]) -> list[Task]:
    # Other columns are too deep for Python's parser.
    ended = Task.objects.filter(pk__in=ids).only("status", "attempt", "lease", "errors")
    running = ended.exclude(status__in=["complete", "failed"])

    async def none_runs() -> bool:
        return not await running.aexists()

    try:
        await until(none_runs, 60)
    except TimeoutError:
        raise AssertionError(
            [
                (task.pk, task.status, task.lease, task.attempt)
                async for task in running.defer("args")
            ]
        ) from None
    return [task async for task in ended.order_by("pk")]


@pytest.mark.parametrize(
    "executor",
    [
        "process",
        pytest.param("thread", marks=pytest.mark.long),
        pytest.param("async", marks=pytest.mark.long),
    ],
)
async def test_rows_at_every_limit_leave_the_stream_open(executor: str) -> None:
    length, echo = f"{MODULE}.length", f"{MODULE}.echo"
    rows: list[tuple[str, dict[str, Any], str]] = [
        (length, {"args": _UMLAUTS}, "complete"),
        (length, {"args": _UMLAUTS + " " * 100}, "failed"),
        (echo, {"args": _DEEP}, "failed"),
        (echo, {"args": '{"not": "a list"}'}, "failed"),
        (echo, {"kwargs": "[1]"}, "failed"),
        (echo, {"args": '["\\ud800"]'}, "failed"),
        (echo, {"timeout_s": -1.0}, "failed"),
        (echo, {"timeout_s": 1e300}, "failed"),
        (echo, {"max_attempts": 2**31 - 1}, "complete"),
        (echo, {"priority": -(2**15), "queue": "\u202e" * 64}, "complete"),
        (echo, {"lease": 2**63 - 10}, "complete"),
    ]
    ids = [await insert(name, **values) for name, values, _ in rows]
    async with coordinator() as address:
        worker = run_worker(address, "--name", "heron", "--executor", executor)
        try:
            await online("heron")
            tasks = await all_ended(ids)
        finally:
            await asyncio.to_thread(end, worker)
        assert worker.stdout is not None
        log = worker.stdout.read()
    for task, (_, values, status) in zip(tasks, rows, strict=True):
        assert task.status == status, (list(values), task.errors)
        assert (task.attempt, len(task.errors)) == (1, int(status == "failed")), list(values)
    assert log.count("worker ready") == 1, log
    assert "connection to the coordinator lost" not in log
    assert "Traceback" not in log


async def test_names_in_unusual_unicode_arrive_unchanged() -> None:
    ids = [await insert("shell", name=name, queue=name[:64]) for name in _NAMES]
    async with coordinator() as address, WireWorker(address).running() as wire:
        tasks = await all_ended(ids)
        assert {offer.name for _, offer in wire.offers} == set(_NAMES)
    assert {task.attempt for task in tasks} == {1}
