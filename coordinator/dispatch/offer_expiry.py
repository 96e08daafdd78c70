"""Withdraw offers that their workers do not accept in time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from taskmaster.coordinator.dispatch.dispatcher import Dispatcher
from taskmaster.tasks.conf import Settings

log = logging.getLogger(__name__)

#: Seconds between two searches for expired offers.
_INTERVAL_S = 0.1


class OfferExpiry:
    """Release the tasks of expired offers, so that another worker can run them.

    `acknowledgements_late` returns whether reports wait longer than usual for their
    acknowledgement. A worker stops reporting while a few of its reports are unacknowledged. It may
    then run tasks whose acceptance it could not report, so nothing is withdrawn.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        conf: Settings,
        *,
        acknowledgements_late: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dispatcher = dispatcher
        self._conf = conf
        self._acknowledgements_late = acknowledgements_late
        self._clock = clock
        self._late_at = float("-inf")

    async def run(self) -> None:
        """Withdraw expired offers until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL_S)
            self.withdraw_expired()

    def withdraw_expired(self) -> None:
        """Release offers that are past `accept_timeout_s` and suspend their workers.

        Nothing is withdrawn while acknowledgements are late, nor within that time-out afterwards.
        """
        # A search that just misses an offer finds it one interval later. Withdraw two intervals
        # early, so that the task of an ignored offer is pending again within `accept_timeout_s`.
        deadline = self._clock() - self._conf.accept_timeout_s + 2 * _INTERVAL_S
        if self._acknowledgements_late():
            self._late_at = self._clock()
        if self._late_at >= deadline:
            return
        for worker in list(self._dispatcher.workers.values()):
            expired = worker.expired_offers(deadline)
            if expired:
                log.warning(
                    "worker did not accept offers in time",
                    extra={"worker": worker.name, "offers": len(expired)},
                )
                self._dispatcher.withdraw(worker, expired)
