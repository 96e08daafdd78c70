"""The coordinators watch each other: who lives, and what becomes of the tasks of one that does not.

A coordinator says every 0.4 s that it lives and holds an advisory lock with its LISTEN session.
Dead is one whose lock is free and that is silent, or that is silent for as long as three heartbeats
of a worker (frozen, or cut off: then its session may live on). Its tasks are taken over in steps:

    at once                 what it held for later, which it cannot have offered yet
    after 0.8 s             what it held or had offered
    after the grace         what its workers run and none has announced to another coordinator
    after the silence       the same for tasks that are stopped when contact is lost
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from uuid import UUID

from coordinator import store as coordinators
from coordinator import words
from coordinator.announcer import Announcer, Many
from coordinator.database import TROUBLE, Database
from coordinator.store import Beat, Identity
from tasks import store
from tasks.conf import Settings
from tasks.events.event import Kind, NewEvent
from tasks.reports import Changed
from tasks.statistics.tally import tally_of
from tasks.templatetags.taskmaster import tasks as tasks_in_words
from workers import store as workers

log = logging.getLogger(__name__)

#: How often a coordinator says that it lives and looks who does not.
ROUND_S = 0.4
#: Two rounds missed, and its lock is free: dead.
_SUSPECT_S = 2 * ROUND_S
#: What was offered is released after this time: a worker that has accepted it announces it by then.
_OFFERED_S = 0.8
#: After trouble with the database everybody is silent: nobody is buried for this long.
_TROUBLE_S = 5.0
#: How often it looks for tasks of coordinators that are not even online any more.
_STRAYS_S = 5.0
#: A round that comes later than this means that this process was frozen, or starved.
_ABSENT_S = 2.0


class Peers:
    """The watch of one coordinator over the others."""

    def __init__(
        self,
        database: Database,
        conf: Settings,
        identity: Identity,
        announcer: Announcer,
        *,
        beat: Callable[[], Beat],
        on_pending: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._conf = conf
        self._identity = identity
        self._announcer = announcer
        self._beat = beat
        self._on_pending = on_pending
        self._clock = clock
        self._began = clock()
        self._looked_at = float("-inf")
        self._turned_at = self._began
        #: Since when each has been found dead, without a break.
        self._dead: dict[UUID, float] = {}
        self._strays: set[UUID] = set()
        #: Addresses of the live coordinators, this one first.
        self.addresses: list[str] = [identity.address]

    async def run(self) -> None:
        """Looks after the living and the dead until cancelled."""
        while True:
            try:
                await self._round()
            except TROUBLE:
                # The database is asked again; meanwhile nobody's silence counts.
                self._dead.clear()
            await asyncio.sleep(ROUND_S)

    async def _round(self) -> None:
        me, now = self._identity.id, self._clock()
        if now - self._turned_at > _ABSENT_S:
            # This process stood still: what it has seen before is no unbroken watch.
            self._dead.clear()
        self._turned_at = now
        async with self._database.connection() as connection:
            peers = await coordinators.heartbeat(connection, me, self._beat())
            if self._clock() - self._looked_at > _STRAYS_S:
                self._looked_at = self._clock()
                online = {peer.id for peer in peers}
                self._strays = await store.holders(connection) - online - {me}
        suspects = {peer.id for peer in peers if peer.silent_s > _SUSPECT_S and peer.id != me}
        self._dead = {
            each: since for each, since in self._dead.items() if each in suspects | self._strays
        }
        if not self._database.trouble.recent(_TROUBLE_S):
            for each in suspects | self._strays:
                await self._look_after(each)
        alive = [peer.address for peer in peers if peer.id != me and peer.id not in self._dead]
        self.addresses = [self._identity.address, *alive]

    async def _look_after(self, peer: UUID) -> None:
        """Takes over what a dead coordinator left, as far as it is time for it."""
        released: list[Changed] = []
        rescued: list[Changed] = []
        async with self._database.transaction() as connection:
            if not await coordinators.is_dead(
                connection, peer, suspect_s=_SUSPECT_S, silence_s=self._conf.silence_s
            ):
                self._dead.pop(peer, None)
                return
            if peer not in self._dead:
                self._dead[peer] = self._clock()
                return
            age_s = self._clock() - self._dead[peer]
            released = await store.release_held(connection, peer, future=age_s < _OFFERED_S)
            if age_s >= self._conf.reconnect_grace_s:
                if self._settled:
                    stoppable = age_s >= self._conf.silence_s
                    rescued = await store.rescue(connection, peer, stoppable=stoppable)
                    if tally := tally_of(rescued):
                        await store.tally(connection, tally, self._identity.id)
                await workers.orphaned(connection, peer)
                await store.stay_awake(connection, peer)
                await coordinators.offline(connection, peer)
                await coordinators.evict(connection, peer)
                # What is left of it is looked after as a stray's.
                self._strays.add(peer)
        self._announcer.note_many(Many(Kind.RELEASED, released, words.released))
        self._announcer.note_many(Many(Kind.RESCUED, rescued, words.rescued))
        if moved := len(released) + len(rescued):
            text = f"a coordinator died, {tasks_in_words(moved)} moved"
            self._announcer.note(NewEvent(Kind.OFFLINE, text))
            log.warning(
                "took over from a dead coordinator",
                extra={"coordinator": peer, "tasks": moved},
            )
            self._on_pending()

    @property
    def _settled(self) -> bool:
        """Whether the workers of coordinators before this one have had time to find it."""
        return self._clock() - self._began >= 2 * self._conf.reconnect_max_s
