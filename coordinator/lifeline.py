"""Which workers live, by stream and heartbeat; and what is done for the tasks of those that do not.

A worker whose stream broke has a grace to come back, here or elsewhere, with what it runs; one
that missed its heartbeats has had it. Liveness decides, never how long a task takes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from coordinator import words
from coordinator.announcer import Announcer, Many
from coordinator.database import TROUBLE, Database
from coordinator.dispatcher import Dispatcher
from coordinator.flusher import Flusher
from coordinator.heartbeats import Answer, Heartbeat, Loss, Written
from coordinator.links import Link
from coordinator.store import Identity
from tasks import store
from tasks.conf import Settings
from tasks.events.event import Kind, NewEvent
from tasks.reports import Adopted, Lease
from tasks.statistics.tally import tally_of
from tasks.templatetags.taskmaster import tasks as tasks_in_words
from workers import store as workers
from workers.store import Beat, Registration

log = logging.getLogger(__name__)

#: How often it looks who is silent and who is lost.
_ROUND_S = 0.5
#: Heartbeats that come within this time are written together.
_GATHER_S = 0.05
#: A heartbeat that is late by this part of its interval is not missed yet.
_LATE = 0.25
#: A turn that comes later than this means that the process was frozen, or starved.
_ABSENT_S = 2.0


class Lifeline:
    """The watch of one coordinator over its workers."""

    def __init__(
        self,
        database: Database,
        dispatcher: Dispatcher,
        flusher: Flusher,
        conf: Settings,
        identity: Identity,
        announcer: Announcer,
        *,
        on_pending: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._flusher = flusher
        self._conf = conf
        self._identity = identity
        self._announcer = announcer
        self._on_pending = on_pending
        self._clock = clock
        self._heartbeats: dict[UUID, Heartbeat] = {}
        self._beaten = asyncio.Event()
        self._lost: dict[UUID, Loss] = {}
        self._misses: dict[UUID, int] = {}
        self._rested_at = clock()

    def now(self) -> float:
        """Seconds of the clock by which silence is judged."""
        return self._clock()

    # ---- workers come and go ----------------------------------------------------------------

    async def welcome(
        self, registration: Registration, running: Sequence[Lease]
    ) -> list[tuple[Lease, Adopted]]:
        """Registers a worker and takes over what it still holds of `running`.

        Raises NotAdmitted when its join token does not let it in.
        """
        async with self._database.transaction() as connection:
            if registration.join_token is not None:
                await workers.admit(connection, registration.join_token, registration.id)
            await workers.register(connection, registration, self._identity.id)
            adopted = (
                await store.adopt(
                    connection, running, self._identity.id, registration.name, registration.id
                )
                if running
                else []
            )
        self._lost.pop(registration.id, None)
        back = f", with {len(adopted)} running" if adopted else ""
        text = f"{registration.name} joined with {registration.slots} slots{back}"
        self._say(Kind.ONLINE, text, registration.name, registration.id)
        by_id = {each.task_id: each for each in adopted}
        return [(lease, by_id[lease.task_id]) for lease in running if lease.task_id in by_id]

    def left(self, link: Link) -> None:
        """The stream of a worker ended: it has the grace to come back, unless it said good-bye."""
        if link.closed:
            return
        grace_s = self._conf.reconnect_grace_s if link.flights or not link.draining else 0.0
        self._lose(link, self._clock() + grace_s)
        log.info("worker left", extra={"worker": link.name})

    def expel(self, link: Link) -> None:
        """The stream of a worker is ended from here, and what it ran is rescued at once."""
        if not link.closed:
            link.expelled = True
            self._lose(link, self._clock())
            log.warning("worker expelled: its join token is not valid", extra={"worker": link.name})

    def _lose(self, link: Link, rescue_at: float) -> None:
        self._dispatcher.disconnect(link)
        stoppable_at = max(rescue_at, link.last_seen + self._conf.silence_s)
        self._lost[link.worker_id] = Loss(link.name, rescue_at, stoppable_at)

    def _say(self, kind: Kind, text: str, worker: str, worker_id: UUID) -> None:
        self._announcer.note(NewEvent(kind, text, worker=worker, worker_id=worker_id))

    # ---- heartbeats -------------------------------------------------------------------------

    async def beat(self, beat: Beat, running: list[Lease]) -> Answer:
        """Keeps a heartbeat; says which of `running` are the worker's no more."""
        link = self._dispatcher.links.get(beat.id)
        if link is not None:
            if beat.draining and not link.drains:
                self._say(Kind.DRAINING, f"{link.name} takes nothing new", link.name, beat.id)
            link.last_seen, link.slots = self._clock(), beat.slots
            link.draining = link.drains = beat.draining
            self._fail_unknown(link, running)
        before = self._heartbeats.get(beat.id)
        answer: asyncio.Future[Written] = (
            before.answer if before else asyncio.get_running_loop().create_future()
        )
        named = set(running)
        if before:
            # Both wait for the one answer, which must know of all that either names.
            named |= before.running
        self._heartbeats[beat.id] = Heartbeat(beat, named, answer)
        self._beaten.set()
        written = await asyncio.shield(answer)
        stale = [lease for lease in running if lease not in written.live]
        return Answer(written.durable, stale, beat.id in written.draining)

    def _fail_unknown(self, link: Link, running: Iterable[Lease]) -> None:
        """What a living worker accepted and, twice in a row, does not know any more is lost."""
        known = set(running)
        missing = {lease for lease in self._dispatcher.accepted_by(link) if lease not in known}
        lost = missing & link.missing
        link.missing = missing - lost
        if not lost:
            return
        log.error("worker does not know its tasks", extra={"worker": link.name, "tasks": len(lost)})
        attempts = [(lease, link.flights[lease.task_id].attempt) for lease in lost]
        self._dispatcher.ended(link, list(lost), None)
        self._flusher.lose(attempts, link.name, link.worker_id)

    async def run_heartbeats(self) -> None:
        """Writes the workers' heartbeats in batches, until cancelled."""
        while True:
            await self._beaten.wait()
            await asyncio.sleep(_GATHER_S)
            self._beaten.clear()
            gathered, self._heartbeats = list(self._heartbeats.values()), {}
            leases = {lease for each in gathered for lease in each.running}
            try:
                async with self._database.transaction() as connection:
                    beats = [each.beat for each in gathered]
                    wishes = await workers.heartbeat(connection, beats, self._identity.id)
                    live = await store.live(connection, list(leases)) if leases else set()
                written = Written(True, live, wishes.draining)
                # Said again until it has gone: no command is lost with a message or a coordinator.
                for worker, wanted in wishes.commands.items():
                    self._dispatcher.command(worker, wanted)
            except TROUBLE:
                # Nothing is known to be stale, and nobody's wish has changed.
                still = {each.beat.id for each in gathered if each.beat.draining}
                written = Written(False, leases, still)
            for each in gathered:
                self._misses.pop(each.beat.id, None)
                if not each.answer.done():
                    each.answer.set_result(written)

    # ---- the silent and the lost ------------------------------------------------------------

    async def run(self) -> None:
        """Looks after the silent and the lost until cancelled."""
        while True:
            self._forgive_own_absence()
            try:
                await self._count_misses()
                await self._rescue_lost()
            except TROUBLE:
                # Tried again with the next round; nothing was forgotten.
                pass
            self._rested_at = self._clock()
            await asyncio.sleep(_ROUND_S)

    async def _count_misses(self) -> None:
        """Writes down who misses heartbeats; takes those out of the pool that missed too many."""
        changed: dict[UUID, int] = {}
        for link in list(self._dispatcher.links.values()):
            silent_s = self._clock() - link.last_seen
            misses = self._missed(silent_s)
            if misses != self._misses.get(link.worker_id, 0):
                changed[link.worker_id] = self._misses[link.worker_id] = misses
            if misses >= self._conf.heartbeat_misses:
                log.warning(
                    "worker is silent", extra={"worker": link.name, "seconds": round(silent_s)}
                )
                self._lose(link, self._clock())
        if changed:
            async with self._database.connection() as connection:
                await workers.count_misses(connection, changed, self._identity.id)

    def _missed(self, silent_s: float) -> int:
        interval_s = self._conf.heartbeat_interval_s
        if silent_s >= self._conf.silence_s:
            return self._conf.heartbeat_misses
        return max(0, int(silent_s / interval_s - _LATE))

    def _forgive_own_absence(self) -> None:
        """While this process stood still nobody could be heard: that time is nobody's silence."""
        absent_s = self._clock() - self._rested_at - _ROUND_S
        if absent_s < _ABSENT_S:
            return
        log.warning("this process stood still", extra={"seconds": round(absent_s, 1)})
        for link in self._dispatcher.links.values():
            link.last_seen += absent_s

    async def _rescue_lost(self) -> None:
        now = self._clock()
        due = {
            worker: loss
            for worker, loss in self._lost.items()
            if now >= (loss.stoppable_at if loss.rescued else loss.rescue_at)
        }
        if not due:
            return
        # A start that is still to be written would be missed.
        await self._flusher.drained()
        for worker, loss in due.items():
            stoppable = self._clock() >= loss.stoppable_at
            async with self._database.transaction() as connection:
                rescued = await store.rescue(
                    connection, self._identity.id, worker, stoppable=stoppable
                )
                if tally := tally_of(rescued):
                    await store.tally(connection, tally, self._identity.id)
                await workers.leave(connection, [worker], self._identity.id)
            if self._lost.get(worker) is not loss:
                # It came back meanwhile.
                continue
            self._misses.pop(worker, None)
            if stoppable:
                del self._lost[worker]
            else:
                self._lost[worker] = loss._replace(rescued=True)
            self._announcer.note_many(Many(Kind.RESCUED, rescued, words.rescued))
            if not loss.rescued:
                fate = f"is gone, {tasks_in_words(len(rescued))} rescued" if rescued else "has left"
                self._say(Kind.OFFLINE, f"{loss.name} {fate}", loss.name, worker)
            if rescued:
                log.warning(
                    "lost worker's tasks rescued",
                    extra={"worker": loss.name, "tasks": len(rescued)},
                )
                self._on_pending()
