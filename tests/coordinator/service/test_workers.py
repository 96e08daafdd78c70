"""Nonsense is answered with a clear status and a line in the log, and changes nothing."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.utils import timezone
from rest_framework.authtoken.models import Token

from proto import taskmaster_pb2 as pb
from tasks.models import Task, TaskOutput
from tests.coordinator.service.intruder import (
    DEADLINE_S,
    KINDS,
    Intruder,
    intruder,
    report,
    rows,
    status,
)
from tests.system.fleet import (
    ROOT,
    WireWorker,
    acount,
    coordinator,
    database_url,
    end,
    free_port,
    until,
    until_counted,
)
from tests.system.programs import Program
from tests.system.programs import until as until_true
from tests.tasks.sample import in_s, stored
from workers.models import Worker

pytestmark = pytest.mark.django_db(transaction=True)

store = sync_to_async(stored)
Code = grpc.StatusCode
INT32, UINT32, INT64 = 2**31 - 1, 2**32 - 1, 2**63 - 1
SEED = 20_260_701
#: A seeded number of broken messages for each method.
MUTANTS = 60
#: The way in which each method is called.
METHODS = {
    "TaskService/SubmitTask": "unary_unary",
    "TaskService/SubmitTasks": "stream_unary",
    "TaskService/GetTask": "unary_unary",
    "TaskService/CancelTask": "unary_unary",
    "WorkerService/ReceiveTasks": "unary_stream",
    "WorkerService/SendHeartbeat": "unary_unary",
    "WorkerService/UpdateTaskStatus": "unary_unary",
}
#: What a call of nonsense may end with. Others would show what Python makes of it.
CLEAR = {
    Code.OK,
    Code.INVALID_ARGUMENT,
    Code.FAILED_PRECONDITION,
    Code.PERMISSION_DENIED,
    Code.RESOURCE_EXHAUSTED,
}


@contextmanager
def logged(folder: Path, **extra: str) -> Iterator[tuple[str, Program]]:
    """A coordinator and its log, in which nothing must have gone wrong."""
    port = free_port()
    command = ("manage.py", "runcoordinator", "--port", str(port))
    environment = {"DATABASE_URL": database_url(), **extra}
    program = Program(command, folder / "coordinator.log", environment)
    try:
        until_true(lambda: program.wrote("coordinator ready"), "the coordinator is ready")
        yield f"127.0.0.1:{port}", program
    finally:
        code = end(program.process)
    assert code == 0, program.text()
    assert "Traceback" not in program.text(), program.text()
    assert not program.wrote(" ERROR "), program.text()


@pytest.fixture
def site(transactional_db: None, tmp_path: Path) -> Iterator[tuple[str, Program]]:
    """A coordinator of the test's own: its log begins with the test."""
    with logged(tmp_path) as running:
        yield running


@pytest.fixture
def address(site: tuple[str, Program]) -> str:
    return site[0]


@pytest.fixture
def program(site: tuple[str, Program]) -> Program:
    return site[1]


@pytest.fixture
async def mallory(address: str) -> AsyncIterator[Intruder]:
    async with intruder(address) as connected:
        yield connected


@pytest.fixture
async def honest(address: str) -> AsyncIterator[WireWorker]:
    """A worker that completes what it gets, before, while and after the other speaks."""
    async with WireWorker(address, queues=("honest",)).running() as worker:
        await undisturbed()
        yield worker
        await undisturbed()


async def undisturbed() -> None:
    """A task is handed out, runs, and its report is written."""
    began = time.monotonic()
    [task_id] = await store(queue="honest")
    await until_counted(1, pk=task_id, status="complete", deadline_s=10)
    assert time.monotonic() - began < 2, "others must not wait"
    await Task.objects.filter(pk=task_id).adelete()


@sync_to_async
def token_of(*codenames: str) -> str:
    """The token of a new user who may do this."""
    user = get_user_model().objects.create_user(username="somebody")
    permissions = Permission.objects.filter(content_type__app_label="tasks")
    user.user_permissions.set(permissions.filter(codename__in=codenames))
    return str(Token.objects.create(user=user).key)


def raw(channel: grpc.aio.Channel, method: str, data: bytes, token: str = "") -> Any:
    """A call with these bytes, and no serializer before or behind them."""
    kind = METHODS[method]
    call = getattr(channel, kind)(f"/taskmaster.v1.{method}")
    metadata = (("authorization", f"Token {token}"),)
    given = iter([data]) if kind == "stream_unary" else data
    return call(given, timeout=DEADLINE_S, metadata=metadata)


def said_once(program: Program, text: str) -> None:
    """Of however many that were refused for this reason there is one line (in 10 s)."""
    assert len(program.wrote(text)) == 1, program.text()


# ---- what is no message -------------------------------------------------------------------------


async def test_bytes_that_are_no_message_are_refused(
    mallory: Intruder, honest: WireWorker, program: Program
) -> None:
    before, token = await rows(), await token_of("add_task")
    for method in METHODS:
        for data in (b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x07" * 100, b"\x0a\x7fcut"):
            for _ in range(10):
                said = await status(raw(mallory.channel, method, data, token))
                rule = f"/taskmaster.v1.{method}: the message cannot be read."
                assert said == (Code.INVALID_ARGUMENT, rule)
        await undisturbed()
    assert await rows() == before
    said_once(program, "call refused: its message is malformed")


async def test_a_message_above_the_limit_is_refused(mallory: Intruder, honest: WireWorker) -> None:
    before, token = await rows(), await token_of("add_task")
    data = b"\x0a" * (16 * 1024 * 1024 + 1)
    for method in METHODS:
        code, details = await status(raw(mallory.channel, method, data, token))
        assert code == Code.RESOURCE_EXHAUSTED, method
        assert "larger than max" in details
    assert await rows() == before


async def test_broken_messages_change_nothing_of_anybody(
    address: str, mallory: Intruder, honest: WireWorker, program: Program
) -> None:
    """Real messages about another's task, cut short and with bits turned over."""
    chance = random.Random(SEED)
    async with WireWorker(address).running() as victim:
        victim.holding = True
        [task_id] = await store(max_attempts=3)
        await until_counted(1, pk=task_id, status="started")
        [held] = await store(scheduled_at=in_s(25))
        await until_counted(1, pk=held, status="picked")
        messages = real_messages(mallory, task_id, held)
        before = await Task.objects.aget(pk=task_id), await Task.objects.aget(pk=held)
        token = await token_of()
        for method, message in messages.items():
            for _ in range(MUTANTS):
                data = mutant(message.SerializeToString(), chance)
                code, details = await status(raw(mallory.channel, method, data, token))
                assert code in CLEAR, (method, data, details)
                assert "Error" not in details, (method, data, details)
            await undisturbed()
        after = await Task.objects.aget(pk=task_id), await Task.objects.aget(pk=held)
        for old, new in zip(before, after, strict=True):
            assert {k: v for k, v in vars(old).items() if k != "_state"} == {
                k: v for k, v in vars(new).items() if k != "_state"
            }
        assert await TaskOutput.objects.acount() == 0
        assert await acount() == 2
        # Its own task is still its own.
        receipt = await victim.complete([victim.offers[0][1]])
        assert not receipt.stale
        assert (await Task.objects.aget(pk=task_id)).status == "complete"
    # However many were refused, for however many reasons.
    assert len(program.wrote("refused")) < 25


def real_messages(sender: Intruder, task_id: int, held: int) -> dict[str, Any]:
    """What each method is really sent, as far as it concerns somebody else's tasks."""
    update = pb.StatusUpdate(worker_id=sender.id, now_us=time.time_ns() // 1_000)
    for each in (task_id, held):
        for kind in KINDS:
            update.MergeFrom(pb.StatusUpdate(**report(kind, each, 1, 1)))
    running = [pb.Execution(task_id=each, lease=1) for each in (task_id, held)]
    submit = pb.SubmitTaskRequest(name="examples.tasks.add", args_json="[1, 2]", priority=3)
    return {
        "TaskService/SubmitTask": submit,
        "TaskService/SubmitTasks": pb.SubmitTasksRequest(tasks=[submit]),
        "TaskService/GetTask": pb.GetTaskRequest(task_id=task_id),
        "TaskService/CancelTask": pb.CancelTaskRequest(task_id=task_id),
        "WorkerService/ReceiveTasks": sender.hello(running=running),
        "WorkerService/SendHeartbeat": pb.Heartbeat(
            worker_id=sender.id, slots=1, running=running, rss_bytes=10**6, cpu=0.5
        ),
        "WorkerService/UpdateTaskStatus": update,
    }


def mutant(message: bytes, chance: random.Random) -> bytes:
    """The message cut short, with some bits turned over, or with a piece of itself inside."""
    data = bytearray(message)
    match chance.randrange(3):
        case 0:
            del data[chance.randrange(len(data)) :]
        case 1:
            for _ in range(chance.randint(1, 4)):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        case 2:
            at, until_, to = (chance.randrange(len(data)) for _ in range(3))
            data[to:to] = data[at:until_]
    return bytes(data)


# ---- what is not the worker's -------------------------------------------------------------------


async def test_a_worker_cannot_report_what_it_was_not_given(
    address: str, mallory: Intruder, honest: WireWorker, program: Program
) -> None:
    async with (
        WireWorker(address, queues=("default",)).running() as victim,
        WireWorker(address, queues=("silent",)).running() as silent,
    ):
        victim.holding, silent.silent = True, True
        [accepted] = await store(max_attempts=3)
        await until_counted(1, pk=accepted, status="started")
        [held] = await store(scheduled_at=in_s(25))
        await until_counted(1, pk=held, status="picked")
        [pending] = await store(queue="nobody-s-too")
        targets = {"accepted": accepted, "held": held, "pending": pending, "unknown": INT64}
        before = await rows()
        for name, task_id in targets.items():
            for lease in (1, 2, 0x7FFF_FFFF_FFFF):
                for kind in KINDS:
                    receipt = await mallory.update(**report(kind, task_id, lease, 1))
                    told = [(each.task_id, each.lease) for each in receipt.stale]
                    assert told == [(task_id, lease)], (name, kind)
        # What it says that it runs is no more believed.
        named = [pb.Execution(task_id=each, lease=1) for each in targets.values()]
        reply = await mallory.beat(running=named)
        assert {each.task_id for each in reply.stale} >= {pending, INT64}
        assert await rows() == before
        # An offer that its worker has not answered yet is not another's to answer.
        [offered] = await store(queue="silent")
        await until(lambda: silent.offers)
        for kind in KINDS:
            receipt = await mallory.update(**report(kind, offered, 1, 1))
            assert [each.task_id for each in receipt.stale] == [offered], kind
        receipt = await silent.complete([silent.offers[0][1]])
        assert not receipt.stale
        assert not (await victim.complete([victim.offers[0][1]])).stale
    finished = Task.objects.filter(pk__in=[accepted, offered]).values_list("result", flat=True)
    assert [result async for result in finished] == [1, 1]
    assert await TaskOutput.objects.acount() == 0
    said_once(program, "the execution is not this worker's")


async def test_a_worker_cannot_adopt_what_it_was_not_given(
    address: str, honest: WireWorker
) -> None:
    async with WireWorker(address).running() as victim:
        victim.holding = True
        [accepted] = await store(max_attempts=3)
        await until_counted(1, pk=accepted, status="started")
        [held] = await store(scheduled_at=in_s(25))
        await until_counted(1, pk=held, status="picked")
        before = (
            await Task.objects.filter(pk__in=[accepted, held])
            .order_by("id")
            .values()
            .aget(pk=accepted),
            await Task.objects.values().aget(pk=held),
        )
        async with grpc.aio.insecure_channel(address) as channel:
            thief = Intruder(channel)
            running = [pb.Execution(task_id=each, lease=1) for each in (accepted, held)]
            stream = thief.stub.ReceiveTasks(thief.hello(running=running))
            welcomed, stale = set(), set()
            async with asyncio.timeout(10):
                while stale != {accepted, held}:
                    message = await stream.read()
                    welcomed.add(message.WhichOneof("message"))
                    stale |= {each.task_id for each in message.stale.executions}
            stream.cancel()
        after = (
            await Task.objects.values().aget(pk=accepted),
            await Task.objects.values().aget(pk=held),
        )
        assert after == before
        assert not (await victim.complete([victim.offers[0][1]])).stale
        assert not victim.stale


async def test_a_worker_cannot_report_what_another_coordinator_gave_away() -> None:
    async with coordinator() as first, coordinator() as second, intruder(second) as mallory:
        async with WireWorker(first).running() as victim:
            victim.holding = True
            [accepted] = await store(max_attempts=3)
            await until_counted(1, pk=accepted, status="started")
            [held] = await store(scheduled_at=in_s(25))
            await until_counted(1, pk=held, status="picked")
            before = await rows()
            for task_id in (accepted, held):
                for kind in KINDS:
                    receipt = await mallory.update(**report(kind, task_id, 1, 1))
                    assert [each.task_id for each in receipt.stale] == [task_id], kind
            assert await rows() == before
            assert not (await victim.complete([victim.offers[0][1]])).stale
            await until_counted(1, pk=accepted, status="complete")
        await Task.objects.all().adelete()


async def test_the_number_of_an_attempt_is_what_was_offered(address: str) -> None:
    async with WireWorker(address).running() as worker:
        worker.holding = True
        [task_id] = await store(max_attempts=3)
        await until_counted(1, pk=task_id, status="started")
        before = await rows()
        for kind in ("started", "completed", "failed", "output"):
            for attempt in (2, 3, INT32):
                receipt = await worker.send(**report(kind, task_id, 1, attempt))
                assert [each.task_id for each in receipt.stale] == [task_id]
        assert await rows() == before
        assert not (await worker.complete([worker.offers[0][1]])).stale


async def test_an_older_lease_is_stale_also_beside_its_successor(address: str) -> None:
    async with WireWorker(address).running() as worker:
        worker.holding = True
        [task_id] = await store(max_attempts=3)
        await until_counted(1, pk=task_id, status="started")
        await worker.send(**report("failed", task_id, 1, 1, retry_after_s=0.0))
        await until_counted(1, pk=task_id, status="started", lease=2)
        # Both in one heartbeat, and both in one flush.
        both = [pb.Execution(task_id=task_id, lease=lease) for lease in (1, 2)]
        reply = await worker.beat(running=both)
        assert [(each.task_id, each.lease) for each in reply.stale] == [(task_id, 1)]
        receipts = await asyncio.gather(
            *(worker.send(**report("started", task_id, lease, lease)) for lease in (1, 2))
        )
        assert [len(receipt.stale) for receipt in receipts] == [1, 0]
        # Two heartbeats that meet have each the answer to what it says.
        replies = await asyncio.gather(worker.beat(running=both[1:]), worker.beat(running=both[:1]))
        assert [len(reply.stale) for reply in replies] == [0, 1]
        await worker.complete([worker.offers[-1][1]])


# ---- what no worker can mean --------------------------------------------------------------------


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


# ---- hellos -------------------------------------------------------------------------------------

BAD_HELLO: list[tuple[dict[str, Any], Code, str]] = [
    ({"protocol": 0}, Code.FAILED_PRECONDITION, "protocol: this coordinator speaks 1"),
    ({"protocol": 2}, Code.FAILED_PRECONDITION, "protocol: this coordinator speaks 1"),
    ({"worker_id": "me"}, Code.INVALID_ARGUMENT, "worker_id: must be a UUID."),
    ({"name": ""}, Code.INVALID_ARGUMENT, "name: must be text of 1 to 100 characters."),
    ({"name": "x" * 101}, Code.INVALID_ARGUMENT, "name: must be text of 1 to 100 characters."),
    ({"name": "a\0b"}, Code.INVALID_ARGUMENT, "name: must be text of 1 to 100 characters."),
    ({"host": "h" * 256}, Code.INVALID_ARGUMENT, "host: must be text of 1 to 255 characters."),
    ({"pool": "p" * 1_000_000}, Code.INVALID_ARGUMENT, "pool: is 'ppp"),
    ({"slots": 0}, Code.INVALID_ARGUMENT, "slots: is 0; it must be from 1 to 10000."),
    ({"slots": UINT32}, Code.INVALID_ARGUMENT, "slots: is 4294967295; it must be"),
    ({"queues": ["no spaces"]}, Code.INVALID_ARGUMENT, "queues.queue: may hold letters"),
    ({"queues": ["q" * 1_000_000]}, Code.INVALID_ARGUMENT, "queues.queue: has 1000000 characters"),
    ({"queues": ["q"] * 1_001}, Code.INVALID_ARGUMENT, "queues: is 1001; it must be from 0 to"),
    ({"running": [pb.Execution(task_id=1, lease=-1)]}, Code.INVALID_ARGUMENT, "task_id, lease:"),
    (
        {"running": [pb.Execution(task_id=1, lease=1)] * 20_001},
        Code.INVALID_ARGUMENT,
        "running: must be at most 20,000 executions.",
    ),
]  # fmt: skip


async def test_a_hello_that_breaks_a_rule_registers_nobody(
    address: str, honest: WireWorker, program: Program
) -> None:
    before = await rows()
    async with grpc.aio.insecure_channel(address) as channel:
        for fields, code, rule in BAD_HELLO:
            guest = Intruder(channel)
            for _ in range(3):
                said, details = await status(guest.stub.ReceiveTasks(guest.hello(**fields)))
                assert said == code, (list(fields), details)
                assert details.startswith(rule), details
                assert len(details) < 300
    assert await rows() == before
    said_once(program, "worker refused: it speaks another protocol")
    said_once(program, "worker refused: its hello breaks a rule")
    assert max(map(len, program.text().splitlines())) < 1_000


# ---- too many -----------------------------------------------------------------------------------


async def test_a_thousand_heartbeats_a_second_disturb_nobody(
    address: str, program: Program
) -> None:
    async with WireWorker(address, queues=("honest",)).running() as honest:
        quiet = await start_latencies(honest, 40)
        flood = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.coordinator.service.flood", address, "1000", "3"),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        await until(lambda: program.wrote("there are too many"))
        busy = await start_latencies(honest, 40)
        reply = await honest.beat()
        assert flood.returncode is None, "it was measured without the flood"
        output, _ = await flood.communicate()
    said = json.loads(output)
    assert sum(said.values()) == 3_000
    # What is more than enough is refused, and never with anything else.
    assert said.keys() == {"OK", "RESOURCE_EXHAUSTED"}
    assert 20 <= said["OK"] <= 40
    assert not reply.unknown_worker
    said_once(program, "heartbeat refused: there are too many")
    assert statistics.median(busy) < statistics.median(quiet) + 0.05, (quiet, busy)
    assert max(busy) < 0.5, busy


async def start_latencies(worker: WireWorker, number: int) -> list[float]:
    """Seconds from each INSERT to the offer."""
    found = []
    for _ in range(number):
        seen, began = len(worker.offers), time.time()
        await store(queue="honest")
        await until(lambda seen=seen: len(worker.offers) > seen, 5)
        found.append(worker.offers[-1][0] - began)
    await until_counted(0, queue="honest", status__in=["pending", "picked", "started"])
    await Task.objects.filter(queue="honest").adelete()
    return found
