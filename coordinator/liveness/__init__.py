"""Watch workers, coordinators and this process itself, and rescue the tasks of lost ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

from taskmaster.coordinator.dispatch import Dispatching
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.listener import Listener
from taskmaster.coordinator.liveness.capacity import CapacityWriter
from taskmaster.coordinator.liveness.health import HealthMonitor
from taskmaster.coordinator.liveness.heartbeats import HeartbeatWriter
from taskmaster.coordinator.liveness.lost_claims import LostClaims
from taskmaster.coordinator.liveness.peers import Peers
from taskmaster.coordinator.liveness.workers import WorkerLiveness
from taskmaster.coordinator.reports import Reporting
from taskmaster.coordinator.store import Identity
from taskmaster.coordinator.support.database import Database
from taskmaster.tasks.conf import Settings


@dataclass(frozen=True, slots=True)
class Liveness:
    """Hold the parts that detect what is lost."""

    heartbeats: HeartbeatWriter
    workers: WorkerLiveness
    peers: Peers
    lost_claims: LostClaims
    health: HealthMonitor
    capacity: CapacityWriter

    @classmethod
    def build(
        cls,
        conf: Settings,
        identity: Identity,
        database: Database,
        publisher: EventPublisher,
        dispatching: Dispatching,
        reporting: Reporting,
        listener: Listener,
        *,
        on_pending: Callable[[], None],
        on_health_change: Callable[[bool], Awaitable[None]],
    ) -> Self:
        """Build the parts.

        `on_pending` is called when a rescue made tasks pending again. `on_health_change` is called
        with whether this coordinator is healthy.
        """
        dispatcher, flusher = dispatching.dispatcher, reporting.flusher
        health = HealthMonitor(
            conf, database, dispatching, flusher, listener, on_change=on_health_change
        )
        return cls(
            heartbeats=HeartbeatWriter(database, dispatcher, flusher, identity, publisher),
            workers=WorkerLiveness(
                database, dispatcher, flusher, conf, identity, publisher, on_pending=on_pending
            ),
            peers=Peers(
                database,
                conf,
                identity,
                publisher,
                heartbeat=health.heartbeat,
                on_pending=on_pending,
            ),
            lost_claims=LostClaims(
                database, dispatcher, dispatching.lookahead, flusher, identity.id
            ),
            health=health,
            capacity=CapacityWriter(
                database, dispatcher, identity.id, on_new_names=dispatching.parking.unpark
            ),
        )
