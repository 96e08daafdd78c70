"""Database trouble, said once when it begins and once when it is over."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

#: Of a process that asks the database several times a second.
QUIET_S = 2.0
#: Trouble that lasts is mentioned again this often, with what is wrong by now.
_SAY_AGAIN_S = 60.0


class Trouble:
    """What the parts of a process meet at the database. Any thread may say so.

    `said` is what the log says when it begins; over is what has not come again for `quiet_s`.
    """

    def __init__(
        self,
        said: str = "database trouble, tried again until it is over",
        *,
        quiet_s: float = QUIET_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._said = said
        self._quiet_s = quiet_s
        self._clock = clock
        self._lock = threading.Lock()
        self._since: float | None = None
        self._met_at = 0.0
        self._said_at = 0.0
        #: How often it was met since the start, for the figures.
        self.count = 0

    def met(self, error: BaseException) -> None:
        """A statement failed; whoever sent it tries again."""
        with self._lock:
            now = self._met_at = self._clock()
            self.count += 1
            if self._since is None:
                self._since = now
            elif now - self._said_at < _SAY_AGAIN_S:
                return
            self._said_at = now
        log.warning(self._said, extra={"error": _line(error)})

    @property
    def news(self) -> bool:
        """Whether the next that is met would be said."""
        return self._since is None or self._clock() - self._said_at >= _SAY_AGAIN_S

    def recent(self, seconds: float) -> bool:
        """Whether any was met in the last `seconds`."""
        return self.count > 0 and self._clock() - self._met_at < seconds

    def over(self) -> None:
        """A statement succeeded."""
        with self._lock:
            if self._since is None or self._clock() - self._met_at < self._quiet_s:
                return
            seconds, self._since = round(self._met_at - self._since), None
        log.info("database trouble is over", extra={"seconds": seconds})


def _line(error: BaseException) -> str:
    """The first line of the message, or what kind of error it is."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
