"""Whether this coordinator does its work: a process that is alive but does nothing is noticed.

What it sees is in the coordinator's heartbeat row, so in the admin and on the web's /healthz, and
in its own gRPC health check, which stops serving while something is wrong.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import psutil

from coordinator.claimer import Claimer
from coordinator.database import TROUBLE, Database
from coordinator.dispatcher import Dispatcher
from coordinator.flusher import Flusher
from coordinator.held import Held
from coordinator.listener import PROBE_S, Listener
from coordinator.store import Beat, server_connections
from tasks.conf import Settings
from tasks.lag import LoopLag

log = logging.getLogger(__name__)

_CHECK_S = 1.0
_FIGURES_S = 10.0
#: Reports that wait longer to be written, and a loop that is later, are trouble.
_FLUSH_LATE_S = 10.0
_LAG_MAX_MS = 2_000
#: What a probe of the listener may take.
_PROBE_SLACK_S = 10.0


class Vitals:
    """What one coordinator knows of itself."""

    def __init__(
        self,
        conf: Settings,
        database: Database,
        dispatcher: Dispatcher,
        held: Held,
        claimer: Claimer,
        flusher: Flusher,
        listener: Listener,
        *,
        on_change: Callable[[bool], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._conf = conf
        self._database = database
        self._dispatcher = dispatcher
        self._held = held
        self._claimer = claimer
        self._flusher = flusher
        self._listener = listener
        self._on_change = on_change
        self._clock = clock
        self._process = psutil.Process()
        self._began = clock()
        self.lag = LoopLag()
        self._lag_ms = 0
        #: What is wrong, for a person; empty when all is well.
        self.complaint = ""

    def beat(self) -> Beat:
        """For the heartbeat row."""
        return Beat(
            held=len(self._held),
            in_flight=self._dispatcher.in_flight,
            connections=self.connections,
            loop_lag_ms=self._lag_ms,
            heard_age_s=self._age_s(self._listener.heard_at),
            claimed_age_s=self._age_s(self._claimer.turned_at),
            flushed_age_s=self._age_s(self._flusher.flushed_at),
            complaint=self.complaint,
        )

    @property
    def connections(self) -> int:
        """Open connections to the database: the pool's, and the listener's."""
        return self._database.size + self._listener.listening.is_set()

    def _age_s(self, at: float | None) -> float | None:
        return None if at is None else self._clock() - at

    async def run(self) -> None:
        """Looks once a second, until cancelled."""
        while True:
            await asyncio.sleep(_CHECK_S)
            self._lag_ms = self.lag.take_ms()
            complaint = "; ".join(self._complaints())
            if bool(complaint) != bool(self.complaint):
                log.log(
                    logging.ERROR if complaint else logging.INFO,
                    "coordinator does not do its work" if complaint else "coordinator works again",
                    extra={"why": complaint or self.complaint},
                )
                await self._on_change(not complaint)
            self.complaint = complaint

    def _complaints(self) -> list[str]:
        now, found = self._clock(), []
        turned = self._claimer.turned_at or self._began
        if now - turned > 3 * self._conf.poll_interval_s:
            found.append(f"no claim succeeded for {now - turned:.0f} s")
        waiting = self._flusher.waiting_since
        if waiting is not None and now - waiting > _FLUSH_LATE_S:
            found.append(f"reports wait to be written for {now - waiting:.0f} s")
        heard = self._listener.heard_at or self._began
        if now - heard > PROBE_S + _PROBE_SLACK_S:
            found.append(f"NOTIFY was not heard for {now - heard:.0f} s")
        if self._lag_ms > _LAG_MAX_MS:
            found.append(f"the event loop was {self._lag_ms / 1_000:.1f} s late")
        return found

    async def log_figures(self) -> None:
        """A line every 10 s, until cancelled."""
        while True:
            await asyncio.sleep(_FIGURES_S)
            log.info(
                "figures",
                extra={
                    "held": len(self._held),
                    "in_flight": self._dispatcher.in_flight,
                    "workers": len(self._dispatcher.links),
                    "scans": self._claimer.scans,
                    "claims": self._claimer.claims,
                    "connections": self.connections,
                    "server_connections": await self._server_connections(),
                    "db_trouble": self._database.trouble.count,
                    "loop_lag_ms": self._lag_ms,
                    "rss_mb": self._process.memory_info().rss // 2**20,
                },
            )

    async def _server_connections(self) -> int | str:
        try:
            async with self._database.connection() as connection:
                return await server_connections(connection)
        except TROUBLE:
            return "unknown"
