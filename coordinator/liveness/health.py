"""Check that this coordinator makes progress. A process that is alive but stuck is detected.

The findings are in the coordinator's heartbeat row. The admin and /healthz of the web process show
them. The coordinator's gRPC health check answers NOT_SERVING while there is a problem.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import psutil

from taskmaster.coordinator.dispatch import Dispatching
from taskmaster.coordinator.listener import PROBE_S, Listener
from taskmaster.coordinator.reports.flusher import Flusher
from taskmaster.coordinator.store import CoordinatorHeartbeat, count_connections
from taskmaster.coordinator.support.database import OUTAGE_ERRORS, Database
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.loop_lag import LoopLag

log = logging.getLogger(__name__)

#: Seconds between two checks, and between two log lines with the figures.
_CHECK_S = 1.0
_FIGURES_S = 10.0
#: Seconds for which a report may wait to be written.
_FLUSH_LATE_S = 10.0
#: Milliseconds by which the event loop may be late.
_LAG_MAX_MS = 2_000
#: Seconds by which a probe of the listener may be late.
_PROBE_SLACK_S = 10.0


class HealthMonitor:
    """Measure the health of one coordinator."""

    def __init__(
        self,
        conf: Settings,
        database: Database,
        dispatching: Dispatching,
        flusher: Flusher,
        listener: Listener,
        *,
        on_change: Callable[[bool], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._conf = conf
        self._database = database
        self._dispatcher = dispatching.dispatcher
        self._lookahead = dispatching.lookahead
        self._claimer = dispatching.claimer
        self._flusher = flusher
        self._listener = listener
        #: Called with True when the coordinator becomes healthy, with False when it stops being so.
        self._on_change = on_change
        self._clock = clock
        self._process = psutil.Process()
        self._started_at = clock()
        self.loop_lag = LoopLag()
        self._lag_ms = 0
        #: The current problems as text for an operator. Empty: there are none.
        self.problem = ""

    def heartbeat(self) -> CoordinatorHeartbeat:
        """Return the values for the coordinator's heartbeat row."""
        return CoordinatorHeartbeat(
            held=len(self._lookahead),
            in_flight=self._dispatcher.in_flight,
            connections=self.connections,
            loop_lag_ms=self._lag_ms,
            heard_age_s=self._age_s(self._listener.heard_at),
            claimed_age_s=self._age_s(self._claimer.succeeded_at),
            flushed_age_s=self._age_s(self._flusher.flushed_at),
            health_problem=self.problem,
        )

    @property
    def connections(self) -> int:
        """Return the number of open database connections.

        They are in the coordinator's pool, in Django's pool, and in the listener.
        """
        return self._database.size + self._listener.listening.is_set()

    def _age_s(self, at: float | None) -> float | None:
        return None if at is None else self._clock() - at

    async def run(self) -> None:
        """Check once a second until cancelled."""
        while True:
            await asyncio.sleep(_CHECK_S)
            self._lag_ms = self.loop_lag.take_ms()
            await self._set_problem("; ".join(self._find_problems()))

    async def _set_problem(self, problem: str) -> None:
        """Log and call `on_change` when the first problem appears and when the last one is gone."""
        before, self.problem = self.problem, problem
        if bool(problem) != bool(before):
            if problem:
                log.error("coordinator is unhealthy", extra={"problem": problem})
            else:
                log.info("coordinator is healthy again", extra={"problem": before})
            await self._on_change(not problem)

    def _find_problems(self) -> list[str]:
        now, found = self._clock(), []
        claimed_at = self._claimer.succeeded_at or self._started_at
        if now - claimed_at > 3 * self._conf.poll_interval_s:
            found.append(f"no claim succeeded for {now - claimed_at:.0f} s")
        waiting_since = self._flusher.waiting_since
        if waiting_since is not None and now - waiting_since > _FLUSH_LATE_S:
            found.append(f"reports have not been written for {now - waiting_since:.0f} s")
        heard_at = self._listener.heard_at or self._started_at
        if now - heard_at > PROBE_S + _PROBE_SLACK_S:
            found.append(f"no NOTIFY arrived for {now - heard_at:.0f} s")
        if self._lag_ms > _LAG_MAX_MS:
            found.append(f"the event loop was {self._lag_ms / 1_000:.1f} s late")
        return found

    async def log_figures(self) -> None:
        """Log the figures every 10 s until cancelled."""
        while True:
            await asyncio.sleep(_FIGURES_S)
            log.info(
                "figures",
                extra={
                    "held": len(self._lookahead),
                    "in_flight": self._dispatcher.in_flight,
                    "workers": len(self._dispatcher.workers),
                    "scans": self._claimer.scans,
                    "claims": self._claimer.claims,
                    "connections": self.connections,
                    "server_connections": await self._server_connections(),
                    "db_errors": self._database.outage.error_count,
                    "loop_lag_ms": self._lag_ms,
                    "rss_mb": self._process.memory_info().rss // 2**20,
                },
            )

    async def _server_connections(self) -> int | str:
        try:
            async with self._database.connection() as connection:
                return await count_connections(connection)
        except OUTAGE_ERRORS:
            return "unknown"
