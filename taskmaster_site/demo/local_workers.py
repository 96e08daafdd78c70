"""Run the workers of `make demo`: the worker pool `default`, which the coordinator manages.

Workers outlive their coordinator. Therefore the pools are scaled to zero before the coordinator
stops. Their desired sizes are restored for the next start. If the database is unavailable, the
workers are ended by signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg

from taskmaster.taskmaster_site.demo.run_mark import RunMark, runs_folder
from taskmaster.workers.pools import processes

#: Number of workers at the first start.
COUNT = 2
#: How long running tasks may take to end before they are handed back, in seconds.
_GRACE_S = 30.0
#: How long the hand-back may take, in seconds.
_HAND_BACK_S = 5.0
_TICK_S = 0.2
#: How long the database may be unavailable before the workers are ended without it, in seconds.
#: The demo restarts its own server in less time.
_DATABASE_S = 8.0

_Result = TypeVar("_Result")


class DatabaseUnreachable(Exception):
    """Report that the database did not answer in time. The message is the last error."""


class LocalWorkers:
    """Start and stop the workers of every local pool."""

    def __init__(self, mark: RunMark | None = None) -> None:
        self._mark = mark or RunMark.create(runs_folder())
        self._owns_mark = mark is None
        self._grace_skipped = asyncio.Event()
        self._desired: list[Any] = []

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables that mark the processes of this run."""
        return self._mark.environment

    @property
    def options(self) -> list[str]:
        """Return the options of the interpreter that mark the processes of this run."""
        return self._mark.options

    async def start(self) -> None:
        """Set the desired size of the pool: the previous size, or two at the first start."""
        from taskmaster.workers.models import WorkerPool

        pool, _ = await WorkerPool.objects.aget_or_create(name="default")
        if not pool.desired:
            pool.desired = min(COUNT, pool.maximum)
            await pool.asave(update_fields=["desired"])

    async def ready(self) -> bool:
        """Return whether the desired number of workers, but at most two, is online."""
        from django.db import OperationalError

        from taskmaster.workers.models import Worker, WorkerPool

        with contextlib.suppress(OperationalError):
            pool = await WorkerPool.objects.aget(name="default")
            online = Worker.objects.filter(pool="default", status="online")
            return await online.acount() >= min(pool.desired, COUNT)
        return False

    def skip_grace(self) -> None:
        """Hand back running tasks now."""
        self._grace_skipped.set()

    async def stop(self) -> None:
        """Scale the pools to zero and wait. Running tasks may finish within the grace period."""
        try:
            await self._stop()
        except DatabaseUnreachable as error:
            print(f"Database unavailable: {error}", flush=True)
            print("Stopping the workers by signal.", flush=True)

    async def end(self) -> None:
        """End the remaining processes of this run, without the database."""
        grace_s = 0.0 if self._grace_skipped.is_set() else _GRACE_S
        await self._mark.end(grace_s, self._grace_skipped)

    async def restore(self) -> None:
        """Restore the desired sizes of the pools."""
        try:
            await _with_database(self._restore_sizes)
        except DatabaseUnreachable as error:
            print(f"The sizes of the worker pools could not be restored: {error}", flush=True)
        if self._owns_mark:
            self._mark.release()

    async def _stop(self) -> None:
        await _with_database(self._scale_to_zero)
        if await self._ended_within(_GRACE_S, self._grace_skipped):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            # The second SIGTERM makes a worker hand its tasks back.
            for pid, born in await _with_database(_live_processes):
                processes.send_signal(pid, born, number)
            if await self._ended_within(_HAND_BACK_S):
                return

    def _scale_to_zero(self) -> None:
        from django.db import connection, transaction

        from taskmaster.workers.models import WorkerPool

        pools = WorkerPool.objects.filter(provider="local")
        with transaction.atomic():
            desired = list(pools.select_for_update().values("pk", "minimum", "desired"))
            pools.update(minimum=0, desired=0)
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_notify('taskmaster_pool', '')")
        self._desired = desired

    def _restore_sizes(self) -> None:
        from taskmaster.workers.models import WorkerPool

        for each in self._desired:
            WorkerPool.objects.filter(pk=each["pk"]).update(
                minimum=each["minimum"], desired=each["desired"]
            )

    @staticmethod
    async def _ended_within(seconds: float, grace_skipped: asyncio.Event | None = None) -> bool:
        deadline = time.monotonic() + seconds
        while await _with_database(_live_processes):
            if time.monotonic() > deadline or (grace_skipped and grace_skipped.is_set()):
                return False
            await asyncio.sleep(_TICK_S)
        return True


def _live_processes() -> list[tuple[int, int]]:
    """Return the pool processes that are alive on this host, as pairs of pid and start time."""
    from taskmaster.workers.models import PoolMember

    members = PoolMember.objects.filter(host=socket.gethostname(), pid__isnull=False)
    pairs = members.values_list("pid", "born")
    return [
        (pid, born) for pid, born in pairs if pid and born and processes.start_time(pid) == born
    ]


async def _with_database(query: Callable[[], _Result]) -> _Result:
    """Run `query` in a thread. Retry after each error until `_DATABASE_S` have passed.

    Raises DatabaseUnreachable. A server that hangs blocks only the thread, not this process.
    """
    import django.db

    deadline = time.monotonic() + _DATABASE_S
    last: BaseException = TimeoutError(f"no answer within {_DATABASE_S:.0f} s")
    while (left_s := deadline - time.monotonic()) > 0:
        try:
            async with asyncio.timeout(left_s):
                return await _in_thread(query)
        except TimeoutError:
            break
        except (django.db.Error, psycopg.Error) as error:
            last = error
            await asyncio.sleep(_TICK_S)
    raise DatabaseUnreachable(str(last).strip())


async def _in_thread(query: Callable[[], _Result]) -> _Result:
    """Run `query` in a daemon thread, so that the process can exit without waiting for it."""
    from django.db import connections

    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Result] = loop.create_future()

    def set_result(error: Exception | None, result: _Result | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        error, result = None, None
        try:
            result = query()
        except Exception as raised:
            error = raised
        finally:
            connections.close_all()
        # The loop may have closed before the result arrived.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(set_result, error, result)

    threading.Thread(target=run, name="demo-database", daemon=True).start()
    return await future
