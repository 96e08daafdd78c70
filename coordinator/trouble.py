"""Database trouble, said once when it begins and once when it is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

#: Over is what has not come again for this long.
_QUIET_S = 2.0
#: Trouble that lasts is mentioned again this often, with what is wrong by now.
_SAY_AGAIN_S = 60.0


class Trouble:
    """What the parts of a coordinator meet at the database."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None
        self._met_at = 0.0
        self._said_at = 0.0
        #: How often it was met since the start, for the figures.
        self.count = 0

    def met(self, error: BaseException) -> None:
        """A statement failed; whoever sent it tries again."""
        now = self._met_at = self._clock()
        self.count += 1
        if self._since is None:
            self._since = now
        elif now - self._said_at < _SAY_AGAIN_S:
            return
        self._said_at = now
        log.warning("database trouble, tried again until it is over", extra={"error": _line(error)})

    def recent(self, seconds: float) -> bool:
        """Whether any was met in the last `seconds`."""
        return self.count > 0 and self._clock() - self._met_at < seconds

    def over(self) -> None:
        """A statement succeeded."""
        if self._since is None or self._clock() - self._met_at < _QUIET_S:
            return
        log.info("database trouble is over", extra={"seconds": round(self._met_at - self._since)})
        self._since = None


def _line(error: BaseException) -> str:
    """The first line of the message, or what kind of error it is."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
