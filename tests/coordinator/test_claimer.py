"""When the claimer looks for work, and when it may rest."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async

from coordinator.announcer import Announcer
from coordinator.claimer import Claimer
from coordinator.database import Database, conninfo
from coordinator.dispatcher import Dispatcher
from coordinator.held import Held
from tasks.conf import Settings
from tasks.models import Sleeper
from tests.coordinator.sample import connected
from tests.system.fleet import until, until_counted
from tests.tasks.sample import stored

pytestmark = pytest.mark.django_db(transaction=True)


def ignore(_: object) -> None:
    pass


async def test_a_wake_up_while_it_falls_asleep_does_not_spare_the_last_look() -> None:
    # No poll would find it in time, and nobody listens here: only the last look does.
    conf = Settings(poll_interval_s=30.0)
    database = Database(conninfo(), conf)
    dispatcher = Dispatcher(conf, on_room=lambda: None, on_release=ignore)
    held = Held(database, dispatcher, conf, on_release=ignore)
    announcer = Announcer(database, conf)
    claimer = Claimer(database, dispatcher, held, conf, uuid4(), announcer, on_release=ignore)
    connected(dispatcher)
    await database.open()
    running = asyncio.create_task(claimer.run())
    try:
        async with asyncio.timeout(5):
            while not await Sleeper.objects.aexists():
                await asyncio.sleep(0.001)
        # A worker joins.
        seen = claimer.scans
        claimer.wake()
        await until(lambda: claimer.scans > seen, 5)
        # Stored by a process that has learnt a moment ago that nobody sleeps.
        await sync_to_async(stored)()
        await until_counted(1, status="picked", deadline_s=5)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await database.close()
