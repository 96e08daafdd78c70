"""Check the reports of workers and write them to the database in fenced batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from taskmaster.coordinator.dispatch.offer_tokens import OfferTokens
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.reports.flusher import Flusher
from taskmaster.coordinator.reports.ownership import OwnershipCheck
from taskmaster.coordinator.store import Identity
from taskmaster.coordinator.support.database import Database
from taskmaster.tasks.conf import Settings


@dataclass(frozen=True, slots=True)
class Reporting:
    """Hold the parts that bring a report from a worker to the database, in the report's order."""

    ownership: OwnershipCheck
    flusher: Flusher

    @classmethod
    def build(
        cls,
        conf: Settings,
        identity: Identity,
        database: Database,
        publisher: EventPublisher,
        *,
        on_pending: Callable[[], None],
        tokens: OfferTokens,
    ) -> Self:
        """Build the parts. `on_pending` is called when a flush made tasks pending again."""
        flusher = Flusher(database, conf, identity.id, publisher, on_pending=on_pending)
        return cls(OwnershipCheck(database, tokens), flusher)
