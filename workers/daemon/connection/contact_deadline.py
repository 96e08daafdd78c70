"""Track the last confirmed contact with a coordinator and detect its loss."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from taskmaster.proto import taskmaster_pb2 as pb

#: Longest pause between two checks of the contact.
_TICK_S = 0.5


class ContactDeadline:
    """Measure the time since the newest answered heartbeat was sent.

    A coordinator measures the silence of the worker from the receipt of the same heartbeat at the
    earliest. A worker that stops its attempts by this deadline has therefore stopped them before a
    rescue can start.
    """

    def __init__(self, clock: Callable[[], float], on_lost: Callable[[], None]) -> None:
        self._clock = clock
        self._on_lost = on_lost
        self._confirmed_at = clock()
        self._lost_after_s = float("inf")
        self._overdue_after_s = float("inf")
        self._overdue_at = float("inf")

    def welcomed(self, hello_at: float, welcome: pb.Welcome) -> None:
        """Start the deadlines after a coordinator accepted the hello.

        The hello was sent at `hello_at`.
        """
        self._lost_after_s = welcome.lost_contact_ms / 1_000
        self._overdue_after_s = (welcome.heartbeat_interval_ms + welcome.accept_timeout_ms) / 1_000
        self.answered(hello_at, durable=True)

    def answered(self, sent_at: float, *, durable: bool) -> None:
        """Extend the deadlines after the heartbeat that was sent at `sent_at` was answered.

        Without `durable` the coordinator answered but did not record the heartbeat. Other
        coordinators then do not know that the worker is alive.
        """
        if durable:
            self._confirmed_at = sent_at
        self._overdue_at = sent_at + self._overdue_after_s

    @property
    def overdue(self) -> bool:
        """Return whether incoming offers may be old.

        A heartbeat is overdue, or the worker was suspended.
        """
        return self._clock() > self._overdue_at

    async def watch(self) -> None:
        """Call `on_lost` repeatedly while contact is lost, until cancelled."""
        while True:
            left_s = self._confirmed_at + self._lost_after_s - self._clock()
            if left_s <= 0:
                self._on_lost()
            await asyncio.sleep(min(_TICK_S, max(left_s, 0.05)))
