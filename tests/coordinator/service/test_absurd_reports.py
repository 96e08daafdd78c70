"""Reports that no worker can mean, and results that the database refuses."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import grpc
import pytest
from django.utils import timezone

from proto import taskmaster_pb2 as pb
from tasks.models import Task
from tests.coordinator.service.intruder import KINDS, Intruder, report, rows, status
from tests.coordinator.service.watched import said_once, store
from tests.system.fleet import WireWorker, until_counted
from tests.system.programs import Program
from workers.models import Worker

pytestmark = pytest.mark.django_db(transaction=True)

Code = grpc.StatusCode
INT32, UINT32, INT64 = 2**31 - 1, 2**32 - 1, 2**63 - 1


ABSURD: list[tuple[str, dict[str, Any], str]] = [
    *[(kind, {"lease": lease}, "task_id, lease: must be positive.") for kind in KINDS
      for lease in (0, -1, -INT64 - 1)],
    *[(kind, {"task_id": -1}, "task_id, lease: must be positive.") for kind in KINDS],
    *[(kind, {"attempt": number}, f"attempt: must be from 1 to {INT32}.") for kind in KINDS[:4]
      for number in (0, INT32 + 1, UINT32)],
    ("output", {"seq": UINT32}, f"output.seq: must be at most {INT32}."),
    ("output", {"stream": "stdin"}, "output.stream: must be one of log, stderr, stdout."),
    ("output", {"stream": ""}, "output.stream: must be one of log, stderr, stdout."),
]  # fmt: skip


async def test_absurd_reports_are_refused_with_the_rule(
    address: str, honest: WireWorker, program: Program
) -> None:
    async with WireWorker(address).running() as worker:
        worker.holding = True
        [task_id] = await store(max_attempts=3)
        await until_counted(1, pk=task_id, status="started")
        before = await rows()
        for kind, fields, rule in ABSURD:
            given: dict[str, Any] = {"task_id": task_id, "lease": 1, "attempt": 1, **fields}
            if kind == "declined":
                given = {key: given[key] for key in ("task_id", "lease")} | {"attempt": 1}
            said = await status(worker.send(**report(kind, **given)))
            assert said == (Code.INVALID_ARGUMENT, rule), (kind, fields)
        many = [pb.Execution(task_id=task_id, lease=1)] * 10_001
        said = await status(worker.send(declined=many))
        assert said == (Code.INVALID_ARGUMENT, "reports: must be at most 10,000 in a message.")
        for running, rule in (
            ([pb.Execution(task_id=-1, lease=1)], "task_id, lease: must be positive."),
            (
                [pb.Execution(task_id=1, lease=1)] * 20_001,
                "running: must be at most 20,000 executions.",
            ),
        ):
            assert await status(worker.beat(running=running)) == (Code.INVALID_ARGUMENT, rule)
        assert await rows() == before
        assert not (await worker.complete([worker.offers[0][1]])).stale
    said_once(program, "refused: it breaks a rule")
    said_once(program, "what it runs breaks a rule")


async def test_an_unknown_worker_is_told_to_say_hello(
    address: str, honest: WireWorker, program: Program
) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stranger = Intruder(channel)
        before = await rows()
        for kind in KINDS:
            for _ in range(5):
                said = await status(stranger.update(**report(kind, 1, 1, 1)))
                rule = "worker_id: unknown; say hello first."
                assert said == (Code.FAILED_PRECONDITION, rule)
        assert (await stranger.beat()).unknown_worker
        for nobody in ("", "0", "x" * 1_000_000, "00000000-0000-0000-0000-00000000000g"):
            for call in (stranger.beat(worker_id=nobody), stranger.update(worker_id=nobody)):
                said = await status(call)
                assert said == (Code.INVALID_ARGUMENT, "worker_id: must be a UUID.")
        assert await rows() == before
    said_once(program, "it is of an unknown worker")


async def test_times_and_pauses_that_nobody_can_mean_do_no_harm(
    address: str, honest: WireWorker
) -> None:
    extremes = (-INT64 - 1, INT64, 0)
    async with WireWorker(address, slots=100).running() as worker:
        worker.holding = True
        ids = await store(9, max_attempts=2)
        await until_counted(9, status="started")
        for task_id, now_us, at_us in zip(
            ids, extremes * 3, [at for at in extremes for _ in extremes], strict=True
        ):
            done = report(
                "completed", task_id, 1, 1, started_at_us=at_us, finished_at_us=-at_us // 2
            )
            message = pb.StatusUpdate(worker_id=worker.id, now_us=now_us, **done)
            assert not (await worker.stub.UpdateTaskStatus(message)).stale
        async for task in Task.objects.filter(pk__in=ids):
            assert task.status == "complete"
            assert task.started_at is not None
            assert task.completed_at is not None
            assert task.completed_at <= timezone.now() + timedelta(seconds=1)

        # A pause that cannot be meant is none: the task's own policy decides.
        pauses = [float("nan"), float("inf"), -float("inf"), -1.0, 1e300, 5e-324]
        ids = await store(len(pauses), max_attempts=2, retry_base_s=60.0, retry_cap_s=60.0)
        await until_counted(len(pauses), status="started")
        for task_id, pause in zip(ids, pauses, strict=True):
            await worker.send(**report("failed", task_id, 1, 1, retry_after_s=pause))
        await until_counted(len(pauses) - 1, pk__in=ids, status="pending")
        async for task in Task.objects.filter(pk__in=ids[:-1]):
            assert 30 < (task.scheduled_at - timezone.now()).total_seconds() < 61
        await worker.complete(
            [offer for _, offer in worker.offers if offer.task_id == ids[-1]][-1:]
        )
        await Task.objects.all().adelete()


async def test_a_heartbeat_of_absurd_numbers_is_kept_as_far_as_it_goes(mallory: Intruder) -> None:
    for cpu in (float("nan"), float("inf"), -1.0, 1.7e308):
        await mallory.beat(
            slots=UINT32, busy=UINT32, rss_bytes=2**64 - 1, cpu=cpu, loop_lag_ms=UINT32,
            tasks_done=2**64 - 1, tasks_failed=2**64 - 1,
        )  # fmt: skip
        row = await Worker.objects.aget(pk=mallory.id)
        assert (row.slots, row.busy, row.loop_lag_ms) == (10_000, 10_000, INT32)
        assert 0 <= row.cpu < float("inf")


# ---- what the database refuses ------------------------------------------------------------------

NO_JSON = [
    "{",
    "nonsense",
    '"\\u0000"',
    '"\\ud800"',
    "1e200000",
    "[" * 100_000 + "]" * 100_000,
    "NaN",
]


async def test_a_result_that_is_no_json_fails_its_task_alone(
    address: str, honest: WireWorker, program: Program
) -> None:
    async with WireWorker(address, slots=100).running() as worker:
        worker.holding = True
        ids = await store(len(NO_JSON) * 2)
        await until_counted(len(ids), status="started")
        # In one message, each beside one that can be stored.
        completed = [
            report("completed", task_id, 1, 1, result=NO_JSON[n // 2] if n % 2 else "7")[
                "completed"
            ][0]
            for n, task_id in enumerate(ids)
        ]
        receipt = await worker.send(completed=completed)
        assert not receipt.stale
    async for task in Task.objects.filter(pk__in=ids[::2]):
        assert (task.status, task.result) == ("complete", 7)
    async for task in Task.objects.filter(pk__in=ids[1::2]):
        assert (task.status, task.result) == ("failed", None)
        [error] = task.errors
        assert error["message"] == "the result is no JSON that PostgreSQL can store"
        assert error["at"]
    said_once(program, "report refused by the database")


async def test_a_failure_is_kept_short_and_its_class_is_one_that_is_known(address: str) -> None:
    async with WireWorker(address).running() as worker:
        worker.holding = True
        [task_id] = await store()
        await until_counted(1, pk=task_id, status="started")
        failed = report(
            "failed", task_id, 1, 1, message="m" * 3_000_000, exception="e" * 3_000_000,
            traceback="old" + "t" * 3_000_000 + "\0new", code=-INT32 - 1, final=True,
        )  # fmt: skip
        # A number that this version of the protocol does not have.
        failed["failed"][0].MergeFromString(b"\x30\x63")
        assert failed["failed"][0].exit_class == 99
        assert not (await worker.send(**failed)).stale
    task = await Task.objects.aget(pk=task_id)
    [error] = task.errors
    assert (task.status, error["class"], len(error["message"])) == ("failed", "raised", 1_000)
    assert len(json.dumps(error)) < 20_000
    assert error["traceback"].endswith("\N{REPLACEMENT CHARACTER}new")
