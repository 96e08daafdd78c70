"""Makes what runs follow what is desired, for every pool.

It is in every coordinator and acts in one: the one whose listening session has the advisory lock
(see `coordinator.listener`). A turn of a pool: read its row, let the provider look, decide, let it
scale, write what was found. Levels, not commands: whatever was missed or done twice, the next turn
sees how things are. A pool's turns follow each other; those of different pools run side by side, so
that a provider that hangs holds up its own pool alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import psycopg
from django.conf import settings as django_settings
from psycopg_pool import PoolTimeout

from tasks.conf import Settings
from tasks.errors import TaskMasterError
from tasks.events.event import Kind, NewEvent
from workers.models.pool import State
from workers.pools import registry, store
from workers.pools.decisions import Decision, decide, fail, waits
from workers.pools.members import Connect, Members
from workers.pools.provider import Provider
from workers.pools.providers.local import LocalProvider
from workers.pools.scaler import Scaler
from workers.pools.store import Findings, Pool, wanted

log = logging.getLogger(__name__)

_T = TypeVar("_T")

#: How often a pool is looked at that is as it shall be: local processes cost next to nothing, an
#: engine is another program.
_LOOK_S: Mapping[str, float] = {"local": 1.0}
_LOOK_ELSE_S = 5.0
#: The same while a pool is scaled.
_SCALING_S: Mapping[str, float] = {"local": 0.25}
_SCALING_ELSE_S = 1.0
#: What was found is written when it changes, and this often to say that somebody looks.
_WRITE_S = 10.0
_RETRY_S = 1.0
#: Pools are read this often although nobody said that one has changed.
_READ_S = 5.0
_NEVER = float("inf")
#: What passes by itself.
TROUBLE = (psycopg.Error, PoolTimeout)


class Reconciler:
    """The one of a coordinator."""

    def __init__(
        self,
        connect: Connect,
        conf: Settings,
        note: Callable[[NewEvent], None],
        coordinators: Callable[[], list[str]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._timeout_s = conf.provider_timeout_s
        #: Set by the listener while it is this one that acts.
        self.leading = asyncio.Event()
        self._note = note
        self._clock = clock
        self._woken = asyncio.Event()
        folder = Path(django_settings.BASE_DIR) / ".data" / "pools"
        self._local = LocalProvider(Members(connect), folder, coordinators, self.wake)
        self._providers: dict[str, Provider] = {"local": self._local}
        self._scaler = Scaler(connect, announce=self._tell_resized, clock=clock)
        #: The turns under way by pool, and when the next is due; of those under way, never.
        self._turns: dict[str, asyncio.Task[None]] = {}
        self._due: dict[str, float] = {}
        #: How often it was woken: a turn that began before is followed by another at once.
        self._wakes = 0
        self._read_by = 0.0

    def wake(self) -> None:
        """A pool has changed, or a worker has ended: look now."""
        self._wakes += 1
        self._due = dict.fromkeys(self._turns, _NEVER)
        self._read_by = 0.0
        self._woken.set()

    async def run(self) -> None:
        """Reconciles while it leads, until cancelled."""
        try:
            while True:
                await self.leading.wait()
                log.info("reconciles pools")
                await self._lead()
        finally:
            await self._let_go()

    async def _lead(self) -> None:
        """Begins the turns that are due, while it leads."""
        try:
            self.wake()
            while self.leading.is_set():
                await self._rest(self._until_due())
                if self._until_due() > 0:
                    continue
                try:
                    await self._resize()
                    async with self._connect() as connection:
                        pools = await store.pools(connection)
                except TROUBLE:
                    await asyncio.sleep(_RETRY_S)
                    continue
                now = self._clock()
                self._read_by = now + _READ_S
                names = {pool.name for pool in pools}
                self._due = {name: due for name, due in self._due.items() if name in names}
                self._local.keep(names | self._turns.keys())
                for pool in pools:
                    if self._due.get(pool.name, 0.0) <= now:
                        self._begin(pool)
        finally:
            await self._let_go()

    async def _resize(self) -> None:
        """Sizes of pools that scale by themselves. What nobody foresaw stops no turn."""
        try:
            await self._scaler.look()
        except TROUBLE:
            raise
        except Exception:
            log.exception("autoscaler broke")

    def _tell_resized(self, pool: str, before: int, now: int, why: str) -> None:
        self._note(NewEvent(Kind.OPERATOR, f"pool {pool}: {before} → {now} by itself, {why}"))

    def _until_due(self) -> float:
        return max(0.0, min([self._read_by, *self._due.values()]) - self._clock())

    def _begin(self, pool: Pool) -> None:
        self._due[pool.name] = _NEVER
        turn = asyncio.create_task(self._turn(pool), name=f"pool-{pool.name}")
        self._turns[pool.name] = turn

    async def _turn(self, pool: Pool) -> None:
        pause_s, wakes = _RETRY_S, self._wakes
        try:
            decision = await self._decide(pool)
            await self._write(pool, decision)
            pause_s = _pause_s(pool, decision.findings)
        except TROUBLE as error:
            log.warning("pool not reconciled", extra={"pool": pool.name, "error": str(error)})
        finally:
            self._due[pool.name] = self._clock() + (pause_s if wakes == self._wakes else 0.0)
            del self._turns[pool.name]
            self._woken.set()

    async def _decide(self, pool: Pool) -> Decision:
        """Looks, and does what follows."""
        if waits(pool):
            return Decision(None, pool.found._replace(registered=pool.staying))
        asked = wanted(pool)
        try:
            provider = self._provider(pool.provider)
            await self._within(provider.check(asked))
            decision = decide(pool, await self._within(provider.observe(asked)))
            if decision.count is not None and self.leading.is_set():
                await self._within(provider.scale(wanted(pool, decision.count)))
        except TaskMasterError as error:
            return fail(pool, str(error))
        except TimeoutError:
            return fail(pool, f"it did not answer within {self._timeout_s:g} s")
        except TROUBLE:
            raise
        except Exception as error:
            # Nobody foresaw it: the pool is in trouble, the others are not.
            log.exception("provider broke", extra={"pool": pool.name})
            return fail(pool, f"{type(error).__name__}: {error}")
        return decision

    async def _within(self, call: Awaitable[_T]) -> _T:
        async with asyncio.timeout(self._timeout_s):
            return await call

    async def _write(self, pool: Pool, decision: Decision) -> None:
        for words in decision.words:
            log.warning("pool has trouble", extra={"pool": pool.name, "what": words})
            self._note(NewEvent(Kind.OFFLINE, words))
        found, before = decision.findings, pool.found
        same = found._replace(retry_in_s=before.retry_in_s) == before
        moved = (found.retry_in_s or 0.0) > (before.retry_in_s or 0.0)
        fresh = pool.age_s is not None and pool.age_s < _WRITE_S
        if same and not moved and fresh:
            return
        async with self._connect() as connection:
            await store.write(connection, pool, found)

    def _provider(self, name: str) -> Provider:
        if name not in self._providers:
            self._providers[name] = registry.engine(name)
        return self._providers[name]

    async def _rest(self, seconds: float) -> None:
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    async def _let_go(self) -> None:
        """Another acts from here on, or nobody: no turn goes on, and nothing is held."""
        turns = list(self._turns.values())
        for turn in turns:
            turn.cancel()
        await asyncio.gather(*turns, return_exceptions=True)
        self._due.clear()
        self._turns.clear()
        self._scaler.forget()
        for provider in self._providers.values():
            with contextlib.suppress(TaskMasterError, TimeoutError):
                await self._within(provider.close())


def _pause_s(pool: Pool, found: Findings) -> float:
    """Until the next look at a pool that was found so."""
    if found.state == State.SCALING:
        return _SCALING_S.get(pool.provider, _SCALING_ELSE_S)
    empty = found.state == State.STEADY and not (found.actual or pool.desired)
    pause_s = _LOOK_ELSE_S if empty else _LOOK_S.get(pool.provider, _LOOK_ELSE_S)
    due_s = found.retry_in_s or 0.0
    return min(pause_s, due_s) if due_s > 0 else pause_s
