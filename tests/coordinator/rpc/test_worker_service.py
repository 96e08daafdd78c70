"""Test that invalid hellos are refused, and that a flood of heartbeats disturbs no other worker."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import grpc
import pytest

from taskmaster.proto import taskmaster_pb2 as pb
from tests.coordinator.rpc.intruder import Intruder, rows, status
from tests.coordinator.rpc.watched import logged_once, store
from tests.system.fleet import ROOT, WireWorker
from tests.system.programs import Program
from tests.waiting import until, until_counted

pytestmark = pytest.mark.django_db(transaction=True)

Code = grpc.StatusCode
UINT32 = 2**32 - 1


BAD_HELLO: list[tuple[dict[str, Any], Code, str]] = [
    ({"protocol": 0}, Code.FAILED_PRECONDITION, "protocol: version 0 is not supported; this"),
    ({"protocol": 3}, Code.FAILED_PRECONDITION, "protocol: version 3 is not supported; this"),
    ({"protocol": 2, "tasks": ["a\0b"]}, Code.INVALID_ARGUMENT, "tasks: must be text of 1 to 200"),
    ({"protocol": 2, "tasks": ["t"] * 10_001}, Code.INVALID_ARGUMENT, "tasks: is 10001; it must"),
    ({"worker_id": "me"}, Code.INVALID_ARGUMENT, "worker_id: must be a UUID."),
    ({"name": ""}, Code.INVALID_ARGUMENT, "name: must be text of 1 to 100 characters."),
    ({"name": "x" * 101}, Code.INVALID_ARGUMENT, "name: must be text of 1 to 100 characters."),
    ({"name": "a\0b"}, Code.INVALID_ARGUMENT, "name: must be text of 1 to 100 characters."),
    ({"host": "h" * 256}, Code.INVALID_ARGUMENT, "host: must be text of 1 to 255 characters."),
    ({"executor": "p" * 1_000_000}, Code.INVALID_ARGUMENT, "executor: is 'ppp"),
    ({"slots": 0}, Code.INVALID_ARGUMENT, "slots: is 0; it must be from 1 to 10000."),
    ({"slots": UINT32}, Code.INVALID_ARGUMENT, "slots: is 4294967295; it must be"),
    ({"queues": ["no spaces"]}, Code.INVALID_ARGUMENT, "queues.queue: is 'no spaces'; it may"),
    ({"queues": ["q" * 1_000_000]}, Code.INVALID_ARGUMENT, "queues.queue: has 1000000 characters"),
    ({"queues": ["q"] * 1_001}, Code.INVALID_ARGUMENT, "queues: is 1001; it must be from 0 to"),
    ({"running": [pb.Execution(task_id=1, lease=-1)]}, Code.INVALID_ARGUMENT, "task_id, lease:"),
    (
        {"running": [pb.Execution(task_id=1, lease=1)] * 20_001},
        Code.INVALID_ARGUMENT,
        "running: must be at most 20,000 executions.",
    ),
]  # fmt: skip


async def test_an_invalid_hello_is_refused_and_stores_no_worker(
    address: str, honest: WireWorker, program: Program
) -> None:
    before = await rows()
    async with grpc.aio.insecure_channel(address) as channel:
        for fields, code, rule in BAD_HELLO:
            guest = Intruder(channel)
            for _ in range(3):
                code_, details = await status(guest.stub.ReceiveTasks(guest.hello(**fields)))
                assert code_ == code, (list(fields), details)
                assert details.startswith(rule), details
                assert len(details) < 300
    assert await rows() == before
    logged_once(program, "worker refused: its protocol version is not supported")
    logged_once(program, "worker refused: its hello is not valid")
    assert max(map(len, program.text().splitlines())) < 1_000


# ---- rate limit ---------------------------------------------------------------------------------


async def test_a_thousand_heartbeats_per_second_are_refused_and_disturb_no_other_worker(
    address: str, program: Program
) -> None:
    async with WireWorker(address, queues=("honest",)).running() as honest:
        flood = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.coordinator.rpc.flood", address, "1000", "3"),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        await until(lambda: program.wrote("sends too many"))
        await store(10, queue="honest")
        await until_counted(10, queue="honest", status="complete")
        reply = await honest.beat()
        assert flood.returncode is None, "the flood ended before the other worker's tasks"
        output, _ = await flood.communicate()
    counts = json.loads(output)
    assert sum(counts.values()) == 3_000
    # Calls above the limit are refused, always with the same status.
    assert counts.keys() == {"OK", "RESOURCE_EXHAUSTED"}
    assert 20 <= counts["OK"] <= 40
    assert not reply.unknown_worker
    logged_once(program, "heartbeat refused: the worker sends too many")
