"""Which silence is the workers', and which the coordinator's own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from psycopg_pool import PoolTimeout

from coordinator import lifeline as module
from coordinator.announcer import Announcer
from coordinator.dispatcher import Dispatcher
from coordinator.lifeline import Lifeline
from coordinator.store import Identity
from tasks.conf import Settings
from tests.coordinator.sample import Clock, connected
from tests.system.fleet import until


class AwayDatabase:
    """Lets everybody wait for three seconds in vain."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.asked = 0

    def connection(self) -> Any:
        self.asked += 1
        self._clock.now += 3
        raise PoolTimeout("no connection after 3 s")


class Counted(Lifeline):
    rounds = 0

    def _forgive_own_absence(self) -> None:
        super()._forgive_own_absence()
        self.rounds += 1


async def test_a_wait_for_the_database_is_nobody_s_absence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_ROUND_S", 0.01)
    clock, conf = Clock(), Settings()
    database = AwayDatabase(clock)
    dispatcher = Dispatcher(conf, on_room=lambda: None, on_release=lambda _: None, clock=clock)
    link = connected(dispatcher)
    seen = link.last_seen = clock.now - 7
    lifeline = Counted(
        database,  # type: ignore[arg-type]
        dispatcher,
        None,  # type: ignore[arg-type]
        conf,
        Identity(uuid4(), "127.0.0.1:1", "here", 1),
        Announcer(database, conf),  # type: ignore[arg-type]
        on_pending=lambda: None,
        clock=clock,
    )
    task = asyncio.create_task(lifeline.run())
    await until(lambda: lifeline.rounds >= 3)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert database.asked
    assert link.last_seen == seen
    assert "this process stood still" not in caplog.messages
