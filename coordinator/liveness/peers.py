"""Watch the other coordinators and take over the tasks of dead ones.

Every coordinator writes a heartbeat every 0.4 s. Its LISTEN session holds an advisory lock. A
coordinator is dead if its lock is free and it has missed two heartbeats. It is also dead if it has
been silent for `silence_s`, which is the limit for workers too. It is then frozen or cut off, and
its session may still hold the lock.

The workers of a dead coordinator reconnect to the others, which adopt the tasks that these workers
run. The remaining tasks are taken over in steps, timed from the first iteration that found the
coordinator dead:

    the next iteration         held tasks that are due later, which were certainly not offered
    after 0.8 s                all tasks that it held or offered
    after `reconnect_grace_s`  started tasks that no other coordinator has adopted
    after `silence_s`          the same for tasks with `on_lost_contact="stop"`
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from uuid import UUID

from taskmaster.coordinator import store as coordinator_store
from taskmaster.coordinator.events import messages
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.store import CoordinatorHeartbeat, Identity, Peer
from taskmaster.coordinator.support.database import OUTAGE_ERRORS, Database
from taskmaster.tasks.backoff import run_every
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.tasks.events.aggregate import EventBatch
from taskmaster.tasks.messages import TaskChange, count_failures
from taskmaster.tasks.statements import Connection
from taskmaster.tasks.store import async_store as store
from taskmaster.tasks.templatetags.taskmaster import tasks as count_of_tasks
from taskmaster.workers.store import async_store as worker_store

log = logging.getLogger(__name__)

#: Seconds between two heartbeats of a coordinator, each with a check of the others.
INTERVAL_S = 0.4
#: Seconds of silence after which a coordinator with a free lock is dead: two missed heartbeats.
_SUSPECT_S = 2 * INTERVAL_S
#: Seconds after which offered tasks are released. If a worker has accepted an offer, another
#: coordinator has adopted the task by then.
_OFFERED_S = 0.8
#: Seconds after a database error in which no coordinator is declared dead. During an outage all
#: coordinators are silent.
_AFTER_OUTAGE_S = 5.0
#: Seconds between two searches for orphans: tasks of coordinators that are not online any more.
_ORPHANS_S = 5.0
#: Seconds between two iterations above which this process counts as stalled.
_STALLED_S = 2.0


class Peers:
    """Watch the other coordinators on behalf of one."""

    def __init__(
        self,
        database: Database,
        conf: Settings,
        identity: Identity,
        publisher: EventPublisher,
        *,
        heartbeat: Callable[[], CoordinatorHeartbeat],
        on_pending: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._conf = conf
        self._identity = identity
        self._publisher = publisher
        self._heartbeat = heartbeat
        self._on_pending = on_pending
        self._clock = clock
        self._started_at = clock()
        self._iterated_at = self._started_at
        self._orphans_listed_at = float("-inf")
        #: Time since which each coordinator has been found dead in every iteration.
        self._dead: dict[UUID, float] = {}
        #: Coordinators that are not online and still have tasks.
        self._with_orphans: set[UUID] = set()
        #: Addresses of the live coordinators. This one comes first.
        self.addresses: list[str] = [identity.address]

    async def run(self) -> None:
        """Write heartbeats and take over from dead coordinators until cancelled."""
        await run_every(
            INTERVAL_S, self._iterate, retry_on=OUTAGE_ERRORS, on_error=self._discard_findings
        )

    def _discard_findings(self, _error: Exception) -> None:
        """Start to observe the others again. Silence during an outage does not count."""
        self._dead.clear()

    async def _iterate(self) -> None:
        now = self._clock()
        if now - self._iterated_at > _STALLED_S:
            # This process was stalled, so its earlier observations are not continuous.
            self._dead.clear()
        self._iterated_at = now
        others = [
            peer for peer in await self._exchange_heartbeats() if peer.id != self._identity.id
        ]
        suspects = {peer.id for peer in others if peer.silent_s > _SUSPECT_S} | self._with_orphans
        self._dead = {peer: since for peer, since in self._dead.items() if peer in suspects}
        if not self._database.outage.had_error_within(_AFTER_OUTAGE_S):
            for peer in suspects:
                await self._take_over(peer)
        alive = [peer.address for peer in others if peer.id not in self._dead]
        self.addresses = [self._identity.address, *alive]

    async def _exchange_heartbeats(self) -> list[Peer]:
        """Write this coordinator's heartbeat. Return all coordinators that are online.

        Also search for orphans when that is due, on the same connection.
        """
        async with self._database.connection() as connection:
            peers = await coordinator_store.write_coordinator_heartbeat(
                connection, self._identity.id, self._heartbeat()
            )
            if self._clock() - self._orphans_listed_at > _ORPHANS_S:
                self._orphans_listed_at = self._clock()
                await self._find_orphans(connection, online={peer.id for peer in peers})
        return peers

    async def _find_orphans(self, connection: Connection, *, online: set[UUID]) -> None:
        """Find the coordinators that are not online and still have tasks."""
        holders = await store.list_lease_holders(connection)
        self._with_orphans = holders - online - {self._identity.id}

    async def _take_over(self, peer: UUID) -> None:
        """Check whether a coordinator is dead, and run the steps of the take-over that are due.

        The module's docstring lists the steps and their times.
        """
        released: list[TaskChange] = []
        rescued: list[TaskChange] = []
        async with self._database.transaction() as connection:
            if not await coordinator_store.check_coordinator_dead(
                connection, peer, suspect_s=_SUSPECT_S, silence_s=self._conf.silence_s
            ):
                self._dead.pop(peer, None)
                return
            if peer not in self._dead:
                # The steps are timed from now, and the first is due in the next iteration.
                self._dead[peer] = self._clock()
                return
            age_s = self._clock() - self._dead[peer]
            released = await store.release_held_tasks(
                connection, peer, only_future=age_s < _OFFERED_S
            )
            if age_s >= self._conf.reconnect_grace_s:
                if self._reconnects_are_over:
                    stoppable = age_s >= self._conf.silence_s
                    rescued = await store.rescue_orphans(connection, peer, stoppable=stoppable)
                    if ended := count_failures(rescued):
                        await store.record_completions(connection, ended, self._identity.id)
                await worker_store.mark_workers_offline_of(connection, peer)
                await store.mark_busy(connection, peer)
                await coordinator_store.mark_coordinator_offline(connection, peer)
                await coordinator_store.terminate_session(connection, peer)
                # Its remaining tasks are orphans. Later iterations rescue them.
                self._with_orphans.add(peer)
        self._publish_take_over(peer, released, rescued)

    def _publish_take_over(
        self, peer: UUID, released: list[TaskChange], rescued: list[TaskChange]
    ) -> None:
        self._publisher.add_batch(EventBatch(EventKind.RELEASED, released, messages.released))
        self._publisher.add_batch(EventBatch(EventKind.RESCUED, rescued, messages.rescued))
        if taken := len(released) + len(rescued):
            text = f"a coordinator died, {count_of_tasks(taken)} taken over"
            self._publisher.add(NewEvent(EventKind.OFFLINE, text))
            log.warning(
                "took over from a dead coordinator",
                extra={"coordinator": peer, "tasks": taken},
            )
            self._on_pending()

    @property
    def _reconnects_are_over(self) -> bool:
        """Return whether workers have had time to reconnect to this coordinator since its start.

        If all coordinators restart together, their workers wait up to `reconnect_max_s` between two
        attempts. Until they are back, their tasks only look orphaned.
        """
        return self._clock() - self._started_at >= 2 * self._conf.reconnect_max_s
