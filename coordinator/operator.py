"""Runs the operations on many tasks that people have confirmed, chunk by chunk.

All coordinators look for them, and each chunk is whoever's that has locked the operation's row: one
that another is at is looked at again in a second, so that it goes on when that one dies.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from django.db import Error as DatabaseError
from django.db import connections

from coordinator import words
from coordinator.announcer import Announcer, Many
from coordinator.database import TROUBLE, Database
from tasks import store
from tasks.bulk.actions import Action
from tasks.bulk.chunk import Turn, run_chunk
from tasks.conf import Settings
from tasks.events.event import Kind

log = logging.getLogger(__name__)

_T = TypeVar("_T")

#: How often it looks whether another is still at what is left.
_OTHERS_S = 1.0
#: Between two chunks, so that the claims and reports of this coordinator get their share.
_PAUSE_S = 0.005
#: How long the last chunk is waited for when the coordinator stops.
_LAST_S = 2.0
#: Seconds before a turn that met database trouble is tried again.
_RETRY_S = (0.1, 5.0)
#: What is told of each task, beside what is told of the operation.
_TOLD = {
    Action.CANCEL: Kind.CANCELLED,
    Action.RETRY: Kind.SUBMITTED,
    Action.RUN_NOW: Kind.SUBMITTED,
}


class Operator:
    """The one of a coordinator."""

    def __init__(
        self, database: Database, conf: Settings, announcer: Announcer, executor: Executor
    ) -> None:
        self._database = database
        self._conf = conf
        self._announcer = announcer
        #: Its threads may use Django's connections.
        self._executor = executor
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be an operation to run."""
        self._woken.set()

    async def run(self) -> None:
        """Runs chunks until cancelled."""
        pause = _RETRY_S[0]
        while True:
            self._woken.clear()
            try:
                if not await self._unfinished():
                    await self._rest(self._conf.poll_interval_s)
                elif await self._turn():
                    await asyncio.sleep(_PAUSE_S)
                else:
                    await self._rest(_OTHERS_S)
                pause = _RETRY_S[0]
            except (*TROUBLE, DatabaseError) as error:
                if isinstance(error, DatabaseError):
                    log.warning("operations are held up", extra={"error": str(error).strip()})
                await asyncio.sleep(pause)
                pause = min(_RETRY_S[1], pause * 2)

    async def _unfinished(self) -> bool:
        async with self._database.connection() as connection:
            return await store.unfinished(connection)

    async def _turn(self) -> bool:
        """Runs one chunk; returns whether there was any."""
        running = asyncio.ensure_future(self._beside(run_chunk))
        try:
            turn = await asyncio.shield(running)
        except asyncio.CancelledError:
            # It goes on all the same; what it has done is told, unless the database is silent.
            await asyncio.wait([running], timeout=_LAST_S)
            if running.done() and running.exception() is None and (last := running.result()):
                self._tell(last)
            raise
        if turn is not None:
            self._tell(turn)
        return turn is not None

    async def _beside(self, work: Callable[[], _T]) -> _T:
        """The result of what uses Django's connection, beside the loop."""

        def run() -> _T:
            try:
                return work()
            finally:
                connections.close_all()

        return await asyncio.get_running_loop().run_in_executor(self._executor, run)

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass

    def _tell(self, turn: Turn) -> None:
        kind = _TOLD.get(turn.action)
        if kind is not None:
            self._announcer.note_many(Many(kind, turn.changed, words.operated(turn)))
        if turn.ended is not None:
            self._announcer.note(turn.ended)
            log.info("operation ended", extra={"outcome": turn.ended.text})
