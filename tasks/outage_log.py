"""Log database outages once at their start and once at their end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import psycopg
from django.db import InterfaceError, InternalError, OperationalError
from psycopg_pool import PoolTimeout

from taskmaster.tasks.conninfo import conninfo

log = logging.getLogger(__name__)

#: Default time in seconds without errors after which an outage is over. It suits processes that
#: query the database several times a second.
QUIET_S = 2.0
#: Interval in seconds at which a continuing outage is logged again with the current error.
_REPEAT_S = 60.0


class OutageLog:
    """Track the database errors of one process. It is thread-safe.

    `message` is logged at the start of an outage. An outage is over when a statement succeeds and
    there was no error for `quiet_s` seconds.
    """

    def __init__(
        self,
        message: str = "database unavailable; retrying",
        *,
        quiet_s: float = QUIET_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._message = message
        self._quiet_s = quiet_s
        self._clock = clock
        self._lock = threading.Lock()
        #: Start of the current outage. None: there is no outage.
        self._since: float | None = None
        self._error_at = 0.0
        self._logged_at = 0.0
        #: Number of errors since the start of the process.
        self.error_count = 0

    def record_error(self, error: BaseException) -> None:
        """Record a failed statement, and log it if a line is due."""
        with self._lock:
            now = self._error_at = self._clock()
            self.error_count += 1
            if self._since is None:
                self._since = now
            elif now - self._logged_at < _REPEAT_S:
                return
            self._logged_at = now
        log.warning(self._message, extra={"error": _first_line(error)})

    @property
    def line_is_due(self) -> bool:
        """Return whether the next error would be logged."""
        return self._since is None or self._clock() - self._logged_at >= _REPEAT_S

    def had_error_within(self, seconds: float) -> bool:
        """Return whether an error occurred in the last `seconds`."""
        return self.error_count > 0 and self._clock() - self._error_at < seconds

    def record_success(self) -> None:
        """Record a successful statement. Log the end of the outage after `quiet_s` seconds."""
        with self._lock:
            if self._since is None or self._clock() - self._error_at < self._quiet_s:
                return
            seconds, self._since = round(self._error_at - self._since), None
        log.info("database available again", extra={"seconds": seconds})


#: Time in seconds without errors after which the outage of a process that serves requests is over.
#: Requests arrive irregularly, so a short time without errors proves nothing.
_REQUESTS_QUIET_S = 10.0
#: Time-out in seconds of the connection attempt that finds the reason of a pool's time-out.
_CONNECT_S = 3

#: Outages that requests of this process encounter.
request_outage = OutageLog("database unavailable; requests get 503", quiet_s=_REQUESTS_QUIET_S)


def is_outage(error: BaseException) -> bool:
    """Return whether an error comes from an outage or a read-only database, not from a query."""
    if isinstance(error, InternalError):
        # A read-only database raises this class. Other internal errors are bugs of TaskMaster.
        return isinstance(error.__cause__, psycopg.errors.ReadOnlySqlTransaction)
    return isinstance(error, OperationalError | InterfaceError | PoolTimeout)


def record_request_error(error: BaseException) -> None:
    """Record the error of a request, with its reason if a line is due."""
    due = request_outage.line_is_due
    request_outage.record_error(RuntimeError(reason(error)) if due else error)


def reason(error: BaseException) -> str:
    """Return the reason of a database error in one line.

    A PoolTimeout contains only the waiting time. To find the reason, connect to the server once.
    """
    if isinstance(error, PoolTimeout) or isinstance(error.__cause__, PoolTimeout):
        try:
            psycopg.connect(conninfo(connect_timeout=_CONNECT_S)).close()
        except psycopg.OperationalError as direct:
            error = direct
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    """Return the first line of the message, or the class name if the message is empty."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
