"""The workers of `make demo`: the pool `default`, which its coordinator runs.

They would outlive the demo; so before the coordinator stops they are told to go, and what the pools
desire is put back for the next time.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from typing import Any

from asgiref.sync import sync_to_async

from workers.pools import processes

#: So many there are at the first start.
COUNT = 2
#: How long what runs may take to end, as with any worker; then it is handed back.
_GRACE_S = 30.0
#: What handing back may take.
_HURRY_S = 5.0
_TICK_S = 0.1


class Workers:
    """Those of every local pool."""

    def __init__(self) -> None:
        self._hurried = asyncio.Event()
        self._desired: list[Any] = []

    async def start(self) -> None:
        """Has the coordinator start them: the default pool as it was, or the first time two."""
        from workers.models import WorkerPool

        pool, _ = await WorkerPool.objects.aget_or_create(name="default")
        if not pool.desired:
            pool.desired = min(COUNT, pool.maximum)
            await pool.asave(update_fields=["desired"])

    async def ready(self) -> bool:
        """Whether as many as are desired, or the first two, take tasks."""
        from django.db import OperationalError

        from workers.models import Worker, WorkerPool

        with contextlib.suppress(OperationalError):
            pool = await WorkerPool.objects.aget(name="default")
            online = Worker.objects.filter(pool_name="default", status="online")
            return await online.acount() >= min(pool.desired, COUNT)
        return False

    def hurry(self) -> None:
        """What runs is handed back now."""
        self._hurried.set()

    async def stop(self) -> None:
        """They finish what they run, within the grace; returns when all have gone."""
        from django.db import OperationalError

        try:
            await self._stop()
        except OperationalError as error:
            print(f"The workers were not stopped: {str(error).strip()}", flush=True)

    async def _stop(self) -> None:
        await sync_to_async(self._desire_none)()
        if await self._gone_within(_GRACE_S, self._hurried):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            # The second SIGTERM makes a worker hand back at once.
            await sync_to_async(_send)(number)
            if await self._gone_within(_HURRY_S):
                return

    async def restore(self) -> None:
        """What was desired is desired again."""
        from workers.models import WorkerPool

        for each in self._desired:
            await WorkerPool.objects.filter(pk=each["pk"]).aupdate(
                minimum=each["minimum"], desired=each["desired"]
            )

    def _desire_none(self) -> None:
        from django.db import connection

        from workers.models import WorkerPool

        pools = WorkerPool.objects.filter(provider="local")
        self._desired = list(pools.values("pk", "minimum", "desired"))
        pools.update(minimum=0, desired=0)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify('taskmaster_pool', '')")

    @staticmethod
    async def _gone_within(seconds: float, hurried: asyncio.Event | None = None) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await sync_to_async(_alive)() and not (hurried and hurried.is_set()):
                    await asyncio.sleep(_TICK_S)
        return not await sync_to_async(_alive)()


def _alive() -> list[tuple[int, int]]:
    """The processes that run, here, by pid and when they started."""
    from workers.models import PoolMember

    members = PoolMember.objects.filter(host=socket.gethostname(), pid__isnull=False)
    pairs = members.values_list("pid", "born")
    return [(pid, born) for pid, born in pairs if pid and born and processes.born(pid) == born]


def _send(number: signal.Signals) -> None:
    for pid, born in _alive():
        processes.send(pid, born, number)
