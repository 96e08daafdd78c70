"""Test that invalid reports are refused, and that extreme values are stored within limits."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import grpc
import pytest
from django.utils import timezone

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.models import Task, TaskOutput
from taskmaster.workers.models import Worker
from tests.coordinator.rpc.intruder import KINDS, Intruder, report, rows, status
from tests.coordinator.rpc.watched import logged_once, store
from tests.system.fleet import WireWorker
from tests.system.programs import Program
from tests.waiting import until_counted

pytestmark = pytest.mark.django_db(transaction=True)

Code = grpc.StatusCode
INT32, UINT32, INT64 = 2**31 - 1, 2**32 - 1, 2**63 - 1


INVALID: list[tuple[str, dict[str, Any], str]] = [
    *[(kind, {"lease": lease}, "task_id, lease: must be positive.") for kind in KINDS
      for lease in (0, -1, -INT64 - 1)],
    *[(kind, {"task_id": -1}, "task_id, lease: must be positive.") for kind in KINDS],
    *[(kind, {"attempt": number}, f"attempt: must be from 1 to {INT32}.") for kind in KINDS[:4]
      for number in (0, INT32 + 1, UINT32)],
    ("output", {"seq": UINT32}, f"output.seq: must be at most {INT32}."),
    ("output", {"stream": "stdin"}, "output.stream: must be one of log, stderr, stdout."),
    ("output", {"stream": ""}, "output.stream: must be one of log, stderr, stdout."),
]  # fmt: skip


async def test_invalid_reports_are_refused_with_the_rule(
    address: str, honest: WireWorker, program: Program
) -> None:
    async with WireWorker(address).running() as worker:
        worker.holding = True
        [task_id] = await store(max_attempts=3)
        await until_counted(1, pk=task_id, status="started")
        before = await rows()
        for kind, fields, rule in INVALID:
            given: dict[str, Any] = {"task_id": task_id, "lease": 1, "attempt": 1, **fields}
            if kind == "declined":
                given = {key: given[key] for key in ("task_id", "lease")} | {"attempt": 1}
            result = await status(worker.send(**report(kind, **given)))
            assert result == (Code.INVALID_ARGUMENT, rule), (kind, fields)
        many = [pb.Execution(task_id=task_id, lease=1)] * 10_001
        result = await status(worker.send(declined=many))
        assert result == (Code.INVALID_ARGUMENT, "reports: must be at most 10,000 in a message.")
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
    logged_once(program, "report refused: a field is not valid")
    logged_once(program, "call refused: its list of running tasks is not valid")


async def test_reports_of_an_unknown_worker_are_refused(
    address: str, honest: WireWorker, program: Program
) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        unknown = Intruder(channel)
        before = await rows()
        for kind in KINDS:
            for _ in range(5):
                result = await status(unknown.update(**report(kind, 1, 1, 1)))
                rule = "worker_id: unknown; call ReceiveTasks first."
                assert result == (Code.FAILED_PRECONDITION, rule)
        assert (await unknown.beat()).unknown_worker
        for text in ("", "0", "x" * 1_000_000, "00000000-0000-0000-0000-00000000000g"):
            for call in (unknown.beat(worker_id=text), unknown.update(worker_id=text)):
                result = await status(call)
                assert result == (Code.INVALID_ARGUMENT, "worker_id: must be a UUID.")
        assert await rows() == before
    logged_once(program, "report refused: its worker is not registered here")


async def test_impossible_times_and_pauses_are_limited_or_ignored(
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
            times = {"started_at_us": at_us, "finished_at_us": -at_us // 2}
            done = report("completed", task_id, 1, 1, token=worker.tokens[task_id, 1], **times)
            message = pb.StatusUpdate(worker_id=worker.id, now_us=now_us, **done)
            assert not (await worker.stub.UpdateTaskStatus(message)).stale
        async for task in Task.objects.filter(pk__in=ids):
            assert task.status == "complete"
            assert task.started_at is not None
            assert task.completed_at is not None
            assert task.completed_at <= timezone.now() + timedelta(seconds=1)

        # An impossible pause is ignored: the retry policy of the task decides.
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


async def test_extreme_numbers_in_a_heartbeat_are_limited(mallory: Intruder) -> None:
    for cpu in (float("nan"), float("inf"), -1.0, 1.7e308):
        await mallory.beat(
            slots=UINT32, busy=UINT32, rss_bytes=2**64 - 1, cpu=cpu, loop_lag_ms=UINT32,
            tasks_done=2**64 - 1, tasks_failed=2**64 - 1,
        )  # fmt: skip
        row = await Worker.objects.aget(pk=mallory.id)
        assert (row.slots, row.busy, row.loop_lag_ms) == (10_000, 10_000, INT32)
        assert 0 <= row.cpu < float("inf")


# ---- reports that PostgreSQL rejects ------------------------------------------------------------

POSTGRESQL = "the result is not JSON that PostgreSQL can store"
UNSTORABLE = "the result contains U+0000 or an unpaired surrogate, which cannot be stored"
DEEP = "the result is nested more than 100 levels deep"
BAD_RESULTS = [
    ("{", POSTGRESQL),
    ("nonsense", POSTGRESQL),
    ("NaN", POSTGRESQL),
    ('"\\u0000"', UNSTORABLE),
    ('"\\ud800"', UNSTORABLE),
    ("1e200000", "the result is not valid JSON: Out of range float"),
    ("7" * 5_000, "the result is not valid JSON: Exceeds the limit (4300 digits)"),
    ("[" * 101 + "]" * 101, DEEP),
    ("[" * 100_000 + "]" * 100_000, DEEP),
    ('"' + "漢" * 350_000 + '"', "the result has 1,050,002 bytes of JSON; the limit is 1,048,576"),
]
GOOD_RESULTS = ["7", '{"b":1e+16,"a":-0.0}', "[" * 100 + "]" * 100, '"\\ud83d\\ude00\\\\u0000"']


async def test_a_result_that_cannot_be_stored_fails_only_its_own_task(
    address: str, honest: WireWorker, program: Program
) -> None:
    async with WireWorker(address, slots=100).running() as worker:
        worker.holding = True
        results = [*GOOD_RESULTS, *(text for text, _ in BAD_RESULTS)]
        ids = await store(len(results), max_attempts=3)
        await until_counted(len(ids), status="started")
        # All in one message.
        completed = [
            report("completed", task_id, 1, 1, result=text)["completed"][0]
            for task_id, text in zip(ids, results, strict=True)
        ]
        receipt = await worker.send(completed=completed)
        assert not receipt.stale
    good, bad = ids[: len(GOOD_RESULTS)], ids[len(GOOD_RESULTS) :]
    for task_id, text in zip(good, GOOD_RESULTS, strict=True):
        [task] = [each async for each in Task.objects.filter(pk=task_id)]
        assert (task.status, repr(task.result)) == ("complete", repr(json.loads(text)))
    for task_id, (_, reason) in zip(bad, BAD_RESULTS, strict=True):
        task = await Task.objects.aget(pk=task_id)
        assert (task.status, task.result, task.attempt) == ("failed", None, 1)
        [error] = task.errors
        assert error["message"].startswith(reason)
        assert error["at"]
    logged_once(program, "report rejected by PostgreSQL")


async def test_output_beyond_the_limit_is_dropped(address: str, program: Program) -> None:
    async with WireWorker(address).running() as worker:
        worker.holding = True
        [task_id] = await store()
        await until_counted(1, pk=task_id, status="started")

        async def prints(seq: int, text: str) -> None:
            chunk = report("output", task_id, 1, 1, seq=seq, text=text)
            assert not (await worker.send(**chunk)).stale

        await prints(0, "ü" * 100_000)
        # A chunk that is sent again is stored and counted once.
        await prints(0, "ü" * 100_000)
        await prints(1, "x" * 62_144)
        for seq in range(2, 12):
            await prints(seq, "x" * 1_000_000)
        await worker.send(**report("completed", task_id, 1, 1))
        # The lease has ended, but its output still counts.
        await prints(12, "x" * 10_000)
    rows = [len(each.text.encode()) async for each in TaskOutput.objects.filter(task_id=task_id)]
    assert sorted(rows) == [62_144, 200_000]
    logged_once(program, "output dropped: it exceeds output_max_bytes")


async def test_texts_of_a_failure_are_cut_and_an_unknown_exit_class_becomes_raised(
    address: str,
) -> None:
    async with WireWorker(address).running() as worker:
        worker.holding = True
        [task_id] = await store()
        await until_counted(1, pk=task_id, status="started")
        failed = report(
            "failed", task_id, 1, 1, message="m" * 3_000_000, exception="e" * 3_000_000,
            traceback="old" + "t" * 3_000_000 + "\0new", code=-INT32 - 1, final=True,
        )  # fmt: skip
        # An exit class that this version of the protocol does not have.
        failed["failed"][0].MergeFromString(b"\x30\x63")
        assert failed["failed"][0].exit_class == 99
        assert not (await worker.send(**failed)).stale
    task = await Task.objects.aget(pk=task_id)
    [error] = task.errors
    assert (task.status, error["class"], len(error["message"])) == ("failed", "raised", 1_000)
    assert len(json.dumps(error)) < 20_000
    assert error["traceback"].endswith("\N{REPLACEMENT CHARACTER}new")
