"""Hold the offers that wait for a slot, and decline those that wait too long."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Set

from taskmaster.workers.daemon.attempt import Attempt

#: Longest wait of an offer for a slot. Behind a long task, another worker can start it sooner.
WAIT_S = 0.1
#: While slots are being freed, an offer may wait for up to this fraction of the accept time-out.
_WAIT_SHARE = 0.4
#: Seconds between two checks of the waiting times.
_CHECK_S = 0.02


class WaitingOffers(deque[Attempt]):
    """Queue the offers in the order of their arrival."""

    def __init__(self, decline: Callable[[Attempt], None], clock: Callable[[], float]) -> None:
        super().__init__()
        self._decline = decline
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        #: Time when a slot was last freed, on the clock.
        self.freed_at = 0.0
        #: Seconds until the coordinator offers a task elsewhere.
        self.accept_timeout_s = 2.0

    def schedule_decline(self) -> None:
        """Check the waiting time of the offers soon, and until none waits."""
        if self and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_CHECK_S, self._decline_old)

    def decline_all(self) -> None:
        """Decline every offer."""
        while self:
            self._decline(self.popleft())

    def remove_keys(self, keys: Set[tuple[int, int]]) -> None:
        """Remove the offers with these fencing pairs."""
        if any(attempt.key in keys for attempt in self):
            kept = [attempt for attempt in self if attempt.key not in keys]
            self.clear()
            self.extend(kept)

    def _decline_old(self) -> None:
        """Decline the offers that have waited too long. The oldest is at the left."""
        self._timer = None
        now = self._clock()
        slots_are_freed = now - self.freed_at < WAIT_S / 2
        longest_s = self.accept_timeout_s * _WAIT_SHARE if slots_are_freed else WAIT_S
        while self and now - self[0].offered_at > longest_s:
            self._decline(self.popleft())
        self.schedule_decline()
