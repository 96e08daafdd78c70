"""Hellos that break a rule register nobody, and a flood of heartbeats disturbs nobody."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import Any

import grpc
import pytest

from proto import taskmaster_pb2 as pb
from tasks.models import Task
from tests.coordinator.service.intruder import Intruder, rows, status
from tests.coordinator.service.watched import said_once, store
from tests.system.fleet import ROOT, WireWorker, until, until_counted
from tests.system.programs import Program

pytestmark = pytest.mark.django_db(transaction=True)

Code = grpc.StatusCode
UINT32 = 2**32 - 1


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
