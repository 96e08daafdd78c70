"""Reconcile the running workers with the desired state of every pool.

Each coordinator has a reconciler. Only one acts: the coordinator whose listening session has the
advisory lock (see `taskmaster.coordinator.listener`). One iteration of a pool reads its row,
observes the provider, decides, scales and writes the findings. It works on states, not on commands.
A step that was missed or done twice is corrected in the next iteration. The iterations of one pool
are sequential. Those for different pools run concurrently, so that a provider that hangs delays its
own pool only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import psycopg
from psycopg_pool import PoolTimeout

from taskmaster.tasks.backoff import wait_until_set
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.errors import TaskMasterError
from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.workers.models.pool import PoolState
from taskmaster.workers.pools import logs
from taskmaster.workers.pools.autoscale_loop import AutoscaleLoop
from taskmaster.workers.pools.local_members import Connect, LocalMembers
from taskmaster.workers.pools.provider import Provider
from taskmaster.workers.pools.providers import load_provider
from taskmaster.workers.pools.providers.local import LocalProvider
from taskmaster.workers.pools.reconcile_policy import (
    Decision,
    decide,
    decide_after_failure,
    desired_pool,
    is_backing_off,
)
from taskmaster.workers.store import pool_store as store
from taskmaster.workers.store.pool_store import PoolFindings, PoolRow

log = logging.getLogger(__name__)

_T = TypeVar("_T")

#: Interval between two observations of a steady pool. Observing local processes is cheap. An engine
#: is queried by another program.
_OBSERVE_S: Mapping[str, float] = {"local": 1.0}
_OBSERVE_DEFAULT_S = 5.0
#: The same interval while a pool is being scaled.
_SCALING_S: Mapping[str, float] = {"local": 0.25}
_SCALING_DEFAULT_S = 1.0
#: Findings are written when they change, and at this interval to show that the reconciler is alive.
_WRITE_S = 10.0
_RETRY_S = 1.0
#: Pools are read at this interval even without a notification of a change.
_READ_S = 5.0
_NEVER = float("inf")
#: Transient errors: retry.
OUTAGE = (psycopg.Error, PoolTimeout)


class Reconciler:
    """Reconcile the pools in one coordinator."""

    def __init__(
        self,
        connect: Connect,
        conf: Settings,
        publish: Callable[[NewEvent], None],
        coordinators: Callable[[], list[str]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._timeout_s = conf.provider_timeout_s
        #: Set by the listener while this coordinator reconciles the pools.
        self.leading = asyncio.Event()
        self._publish = publish
        self._clock = clock
        self._woken = asyncio.Event()
        self._local = LocalProvider(
            LocalMembers(connect), logs.folder(conf.data_dir), coordinators, self.wake
        )
        self._providers: dict[str, Provider] = {"local": self._local}
        self._scaler = AutoscaleLoop(connect, on_resized=self._publish_resized, clock=clock)
        #: Running iterations by pool, and the time when the next one is due. It is never due while
        #: an iteration of the pool runs.
        self._iterations: dict[str, asyncio.Task[None]] = {}
        self._due: dict[str, float] = {}
        #: Number of wake-ups. An iteration that started before the newest one is repeated.
        self._wakes = 0
        self._read_by = 0.0

    def wake(self) -> None:
        """Start an iteration now, because a pool has changed or a worker has ended."""
        self._wakes += 1
        self._due = dict.fromkeys(self._iterations, _NEVER)
        self._read_by = 0.0
        self._woken.set()

    async def run(self) -> None:
        """Reconcile while this coordinator leads, until cancelled."""
        try:
            while True:
                await self.leading.wait()
                log.info("this coordinator reconciles the worker pools")
                await self._lead()
        finally:
            await self._release()

    async def _lead(self) -> None:
        """Start the iterations that are due, while this coordinator leads."""
        try:
            self.wake()
            while self.leading.is_set():
                await self._rest(self._until_due())
                if self._until_due() > 0:
                    continue
                try:
                    await self._resize()
                    async with self._connect() as connection:
                        pools = await store.list_pools(connection)
                except OUTAGE:
                    await asyncio.sleep(_RETRY_S)
                    continue
                now = self._clock()
                self._read_by = now + _READ_S
                names = {pool.name for pool in pools}
                self._due = {name: due for name, due in self._due.items() if name in names}
                self._local.keep_only(names | self._iterations.keys())
                for pool in pools:
                    if self._due.get(pool.name, 0.0) <= now:
                        self._begin(pool)
        finally:
            await self._release()

    async def _resize(self) -> None:
        """Set the sizes of pools with autoscaling.

        An unexpected error is logged and stops no iteration.
        """
        try:
            await self._scaler.run_if_due()
        except OUTAGE:
            raise
        except Exception:
            log.exception("autoscaling failed unexpectedly")

    def _publish_resized(self, pool: str, before: int, now: int, why: str) -> None:
        self._publish(
            NewEvent(EventKind.OPERATOR, f"autoscaled pool {pool}: {before} → {now}, {why}")
        )

    def _until_due(self) -> float:
        return max(0.0, min([self._read_by, *self._due.values()]) - self._clock())

    def _begin(self, pool: PoolRow) -> None:
        self._due[pool.name] = _NEVER
        iteration = asyncio.create_task(self._iterate(pool), name=f"pool-{pool.name}")
        self._iterations[pool.name] = iteration

    async def _iterate(self, pool: PoolRow) -> None:
        pause_s, wakes = _RETRY_S, self._wakes
        try:
            decision = await self._decide(pool)
            await self._write(pool, decision)
            pause_s = _pause_s(pool, decision.findings)
        except OUTAGE as error:
            log.warning("pool not reconciled", extra={"pool": pool.name, "error": str(error)})
        finally:
            self._due[pool.name] = self._clock() + (pause_s if wakes == self._wakes else 0.0)
            del self._iterations[pool.name]
            self._woken.set()

    async def _decide(self, pool: PoolRow) -> Decision:
        """Observe a pool and apply the decision."""
        if is_backing_off(pool):
            return Decision(None, pool.found._replace(registered=pool.staying))
        desired = desired_pool(pool)
        try:
            provider = self._provider(pool.provider)
            await self._within(provider.check(desired))
            decision = decide(pool, await self._within(provider.observe(desired)))
            if decision.count is not None and self.leading.is_set():
                await self._within(provider.scale(desired_pool(pool, decision.count)))
        except TaskMasterError as error:
            return decide_after_failure(pool, str(error))
        except TimeoutError:
            return decide_after_failure(pool, f"no answer within {self._timeout_s:g} s")
        except OUTAGE:
            raise
        except Exception as error:
            # An unexpected error fails this pool only.
            log.exception("provider failed unexpectedly", extra={"pool": pool.name})
            return decide_after_failure(pool, f"{type(error).__name__}: {error}")
        return decision

    async def _within(self, call: Awaitable[_T]) -> _T:
        async with asyncio.timeout(self._timeout_s):
            return await call

    async def _write(self, pool: PoolRow, decision: Decision) -> None:
        for message in decision.messages:
            log.warning("pool unhealthy", extra={"pool": pool.name, "error": message})
            self._publish(NewEvent(EventKind.OFFLINE, message))
        found, before = decision.findings, pool.found
        same = found._replace(retry_in_s=before.retry_in_s) == before
        moved = (found.retry_in_s or 0.0) > (before.retry_in_s or 0.0)
        fresh = pool.age_s is not None and pool.age_s < _WRITE_S
        if same and not moved and fresh:
            return
        async with self._connect() as connection:
            await store.write_pool_status(connection, pool, found)

    def _provider(self, name: str) -> Provider:
        if name not in self._providers:
            self._providers[name] = load_provider(name)
        return self._providers[name]

    async def _rest(self, seconds: float) -> None:
        self._woken.clear()
        await wait_until_set(self._woken, seconds)

    async def _release(self) -> None:
        """Cancel all iterations and close the providers.

        Called when this coordinator no longer leads.
        """
        iterations = list(self._iterations.values())
        for iteration in iterations:
            iteration.cancel()
        await asyncio.gather(*iterations, return_exceptions=True)
        self._due.clear()
        self._iterations.clear()
        self._scaler.forget()
        for provider in self._providers.values():
            with contextlib.suppress(TaskMasterError, TimeoutError):
                await self._within(provider.close())


def _pause_s(pool: PoolRow, found: PoolFindings) -> float:
    """Return the seconds until the next iteration of a pool with these findings."""
    if found.state == PoolState.SCALING:
        return _SCALING_S.get(pool.provider, _SCALING_DEFAULT_S)
    empty = found.state == PoolState.STEADY and not (found.actual or pool.desired)
    pause_s = _OBSERVE_DEFAULT_S if empty else _OBSERVE_S.get(pool.provider, _OBSERVE_DEFAULT_S)
    due_s = found.retry_in_s or 0.0
    return min(pause_s, due_s) if due_s > 0 else pause_s
