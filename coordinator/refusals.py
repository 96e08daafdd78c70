"""What is refused is logged at a bounded rate: whoever sends nonsense must not fill the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

#: One line for each reason in this time; it says how many there were.
_EVERY_S = 10.0


class Refusals:
    """Counts what was refused, by reason."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said_at: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def note(self, reason: str, **details: object) -> None:
        """Something was refused for this reason; `reason` is one of a few, the details any."""
        self._unsaid[reason] = self._unsaid.get(reason, 0) + 1
        now = self._clock()
        if now - self._said_at.get(reason, float("-inf")) < _EVERY_S:
            return
        self._said_at[reason] = now
        log.warning(reason, extra={"count": self._unsaid.pop(reason), **details})
