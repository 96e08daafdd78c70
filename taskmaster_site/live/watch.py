"""The tasks that somebody looks at through this process, and who is told when they change."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from uuid import uuid4

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection
from psycopg_pool import PoolTimeout

from tasks.models import Event
from tasks.statements import statement

log = logging.getLogger(__name__)

#: The coordinators are told at most this often; a watch is renewed long before its minute is over.
_GATHER_S = 0.05
_RENEW_S = 20.0
_RETRY_S = 1.0


class Watchers:
    """Who waits for which task."""

    def __init__(self) -> None:
        self._web = uuid4()
        self._waiting: defaultdict[int, set[asyncio.Event]] = defaultdict(set)
        self._altered = asyncio.Event()

    @asynccontextmanager
    async def watching(self, task_id: int) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever the task may have changed or printed something."""
        changed = asyncio.Event()
        if task_id not in self._waiting:
            self._altered.set()
        self._waiting[task_id].add(changed)
        try:
            yield changed
        finally:
            self._waiting[task_id].discard(changed)
            if not self._waiting[task_id]:
                del self._waiting[task_id]
                self._altered.set()

    def told(self, events: Iterable[Event]) -> None:
        """These events have come."""
        self.printed(event.task_id for event in events if event.task_id is not None)

    def printed(self, task_ids: Iterable[int]) -> None:
        """These tasks have new output."""
        for task_id in task_ids:
            for changed in self._waiting.get(task_id, ()):
                changed.set()

    def all_may_have(self) -> None:
        """Nobody knows what happened meanwhile."""
        self.printed(list(self._waiting))

    async def run(self) -> None:
        """Tells the coordinators what is watched, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_RENEW_S):
                    await self._altered.wait()
            except TimeoutError:
                if not self._waiting:
                    continue
            await asyncio.sleep(_GATHER_S)
            self._altered.clear()
            watched = list(self._waiting)
            try:
                await sync_to_async(self._tell, thread_sensitive=False)(watched)
            except (DatabaseError, PoolTimeout) as error:
                log.warning("watch not told", extra={"error": str(error).strip()})
                await asyncio.sleep(_RETRY_S)
                self._altered.set()
            else:
                # What happened before the coordinators knew may have been folded into a count.
                self.printed(watched)

    def _tell(self, watched: list[int]) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement("watch"), {"ids": watched, "web": self._web})
        finally:
            connection.close()
