"""Test how a worker detects that it has lost contact."""

from __future__ import annotations

import asyncio

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.workers.daemon.connection.contact_deadline import ContactDeadline
from tests.waiting import until

WELCOME = pb.Welcome(heartbeat_interval_ms=5_000, accept_timeout_ms=2_000, lost_contact_ms=12_000)


def test_offers_are_trusted_until_a_heartbeat_is_overdue() -> None:
    now = [0.0]
    deadline = ContactDeadline(lambda: now[0], lambda: None)
    assert not deadline.overdue
    deadline.welcomed(0.0, WELCOME)
    now[0] = 7.0
    assert not deadline.overdue
    now[0] = 7.1
    assert deadline.overdue
    deadline.answered(7.0, durable=False)
    assert not deadline.overdue


async def test_an_answer_without_a_durable_heartbeat_does_not_extend_the_contact() -> None:
    now, lost = [0.0], []
    deadline = ContactDeadline(lambda: now[0], lambda: lost.append(now[0]))
    deadline.welcomed(0.0, WELCOME)
    deadline.answered(11.0, durable=False)
    watching = asyncio.create_task(deadline.watch())
    try:
        await asyncio.sleep(0.05)
        assert not lost
        now[0] = 12.0
        await until(lambda: lost)
        deadline.answered(12.0, durable=True)
        seen = len(lost)
        await asyncio.sleep(0.7)
        assert len(lost) <= seen + 1
    finally:
        watching.cancel()
