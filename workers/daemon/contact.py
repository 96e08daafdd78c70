"""How long ago a coordinator was surely in touch, and what follows when it is long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proto import taskmaster_pb2 as pb

#: How often the contact is looked at.
_TICK_S = 0.5


class Contact:
    """Counted from the sending of the newest heartbeat that was answered.

    A coordinator counts the worker's silence from the receipt of the same heartbeat at the
    earliest, so whoever stops in time by this one has stopped before a rescue.
    """

    def __init__(self, clock: Callable[[], float], on_lost: Callable[[], None]) -> None:
        self._clock = clock
        self._on_lost = on_lost
        self._sure_at = clock()
        self._lost_after_s = float("inf")
        self._patience_s = float("inf")
        self._doubt_at = float("inf")

    def welcomed(self, hello_at: float, welcome: pb.Welcome) -> None:
        """A coordinator took the worker in, by a hello that was sent then."""
        self._lost_after_s = welcome.lost_contact_ms / 1_000
        self._patience_s = (welcome.heartbeat_interval_ms + welcome.accept_timeout_ms) / 1_000
        self.answered(hello_at, durable=True)

    def answered(self, sent_at: float, *, durable: bool) -> None:
        """A heartbeat that was sent then has its answer.

        Not `durable`: the coordinator is there, but nobody else knows that the worker lives.
        """
        if durable:
            self._sure_at = sent_at
        self._doubt_at = sent_at + self._patience_s

    @property
    def doubtful(self) -> bool:
        """Whether what comes now may be old: a heartbeat is overdue, or the worker stood still."""
        return self._clock() > self._doubt_at

    async def watch(self) -> None:
        """Calls `on_lost` again and again while there is no contact, until cancelled."""
        while True:
            left_s = self._sure_at + self._lost_after_s - self._clock()
            if left_s <= 0:
                self._on_lost()
            await asyncio.sleep(min(_TICK_S, max(left_s, 0.05)))
