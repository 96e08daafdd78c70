"""Log refusals at a bounded rate, so that a misbehaving client cannot fill the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

#: Seconds between two log lines for the same reason. A line contains the number of refusals since
#: the previous one.
_INTERVAL_S = 10.0


class LogThrottle:
    """Count refusals by reason and log them at a bounded rate."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logged_at: dict[str, float] = {}
        self._unlogged: dict[str, int] = {}

    def warn(self, reason: str, **details: object) -> None:
        """Count a refusal and log it if a line for its reason is due.

        `reason` must be one of a few fixed texts, because the counts are kept by reason. Varying
        values belong in `details`.
        """
        self._unlogged[reason] = self._unlogged.get(reason, 0) + 1
        now = self._clock()
        if now - self._logged_at.get(reason, float("-inf")) < _INTERVAL_S:
            return
        self._logged_at[reason] = now
        log.warning(reason, extra={"count": self._unlogged.pop(reason), **details})
