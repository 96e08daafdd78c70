"""Claim due tasks, hold them until they are due, and push them to connected workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from taskmaster.coordinator.dispatch.claimer import Claimer
from taskmaster.coordinator.dispatch.dispatcher import Dispatcher
from taskmaster.coordinator.dispatch.lookahead import LookaheadQueue
from taskmaster.coordinator.dispatch.offer_expiry import OfferExpiry
from taskmaster.coordinator.dispatch.parking import Parking
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.store import Identity
from taskmaster.coordinator.support.database import Database
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.messages import ClaimedTask, Lease


@dataclass(frozen=True, slots=True)
class Dispatching:
    """Hold the parts that bring a task from the database to a worker, in the task's order."""

    claimer: Claimer
    lookahead: LookaheadQueue
    dispatcher: Dispatcher
    offer_expiry: OfferExpiry
    parking: Parking

    @classmethod
    def build(
        cls,
        conf: Settings,
        identity: Identity,
        database: Database,
        publisher: EventPublisher,
        *,
        on_release: Callable[[Sequence[Lease]], None],
        on_release_held: Callable[[Sequence[Lease]], None],
        on_refuse: Callable[[ClaimedTask, str], None],
        acknowledgements_late: Callable[[], bool],
        sign: Callable[[UUID, int, int], bytes],
        is_leader: Callable[[], bool],
    ) -> Self:
        """Build the parts and connect them.

        `on_release` is called with the leases of offers that must be released, `on_release_held`
        with those of tasks that were not offered, and `on_refuse` with a task that no worker can
        receive and the reason. `acknowledgements_late` returns whether reports wait longer than
        usual to be written. `sign` returns the token of an offer. `is_leader` returns whether this
        coordinator is the leading one.
        """

        # The dispatcher wakes the parts that feed it. They are built after it, because they need
        # it, so these functions look them up when they are called.
        def on_capacity_freed() -> None:
            lookahead.capacity_freed()
            claimer.capacity_freed()

        def on_join() -> None:
            claimer.wake()

        dispatcher = Dispatcher(
            conf,
            on_capacity_freed=on_capacity_freed,
            on_join=on_join,
            on_release=on_release,
            sign=sign,
        )
        lookahead = LookaheadQueue(database, dispatcher, conf, on_release=on_release_held)
        parking = Parking(
            database,
            dispatcher,
            identity.id,
            publisher,
            on_release=on_release_held,
            is_leader=is_leader,
        )
        claimer = Claimer(
            database,
            dispatcher,
            lookahead,
            parking,
            conf,
            identity.id,
            publisher,
            on_refuse=on_refuse,
        )
        parking.on_pending = claimer.wake_all
        offer_expiry = OfferExpiry(dispatcher, conf, acknowledgements_late=acknowledgements_late)
        return cls(claimer, lookahead, dispatcher, offer_expiry, parking)
