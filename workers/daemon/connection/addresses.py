"""Keep the addresses of the coordinators and choose the next one to connect to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from taskmaster.workers.security.addresses import filter_usable

log = logging.getLogger(__name__)

_WARN_EVERY_S = 60.0


class CoordinatorAddresses:
    """Rotate through the configured coordinators and those that a coordinator has named."""

    def __init__(self, configured: Sequence[str], *, tls: bool, clock: Callable[[], float]) -> None:
        self._configured = configured
        self._tls = tls
        self._clock = clock
        self._addresses = list(configured)
        self._failures = 0
        self._warned_at: float | None = None
        #: Error of the last coordinator that answered with one.
        self._last_error = ""

    @property
    def current(self) -> str:
        """Return the address to connect to."""
        return self._addresses[0]

    @property
    def failed_rounds(self) -> int:
        """Return how many times in a row each coordinator was tried without success."""
        return self._failures // len(self._addresses)

    def record_error(self, address: str, error: str) -> None:
        """Keep the error of a coordinator for the warning."""
        self._last_error = f"{address}: {error}"

    def connected(self) -> None:
        """Forget the failures, because a coordinator has accepted this worker."""
        self._failures = 0
        self._warned_at, self._last_error = None, ""

    def rotate(self, *, failed: bool) -> None:
        """Move to the next address. Warn when all have failed, at most once a minute."""
        self._failures = self._failures + 1 if failed else 0
        self._addresses.append(self._addresses.pop(0))
        if self._failures and self._failures % len(self._addresses) == 0:
            self._warn()

    def update(self, received: Iterable[str]) -> None:
        """Add new coordinators and remove received ones that are gone."""
        live = filter_usable(received, self._configured, tls=self._tls)
        known = {*self._configured, *live}
        kept = [address for address in self._addresses if address in known]
        self._addresses = [*kept, *(address for address in live if address not in kept)]

    def _warn(self) -> None:
        now = self._clock()
        if self._warned_at is None or now - self._warned_at >= _WARN_EVERY_S:
            self._warned_at = now
            details = {"coordinators": ",".join(self._addresses)}
            if self._last_error:
                details["refused_by"] = self._last_error
            log.warning("no coordinator reachable, retrying", extra=details)
