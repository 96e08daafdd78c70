"""Recycles children whose resident memory has grown above the limit."""

from __future__ import annotations

import asyncio
import logging

import psutil

from workers.daemon.forkserver import ForkServer
from workers.daemon.slots import PythonSlots
from workers.daemon.slots.child import Child

log = logging.getLogger(__name__)

#: How often the children are looked at, at 16 µs each: the hot path pays nothing, and the tasks
#: that a child begins meanwhile do no harm.
_EVERY_S = 1.0
_MIB = 1_048_576


class MemoryWatch:
    """Looks at the children that have run something since the last look."""

    def __init__(self, slots: PythonSlots, server: ForkServer, limit_mb: int) -> None:
        self._slots = slots
        self._server = server
        self._limit_mb = limit_mb
        #: How many attempts a child had begun at the last look, by its id.
        self._begun: dict[int, int] = {}

    async def run(self) -> None:
        """Watches until cancelled."""
        if rss_bytes(self._server.pid) > self._limit_mb * _MIB:
            log.warning(
                "memory limit is below what a fresh child takes", extra={"limit_mb": self._limit_mb}
            )
        while True:
            await asyncio.sleep(_EVERY_S)
            self.look()

    def look(self) -> None:
        """Looks at each child that may have grown."""
        begun = {}
        for child in self._slots.children:
            begun[child.id] = child.begun
            if child.attempts or child.begun != self._begun.get(child.id, 0):
                self._judge(child)
        self._begun = begun

    def _judge(self, child: Child) -> None:
        pid = self._server.pids.get(child.id)
        rss = 0 if pid is None else rss_bytes(pid)
        if rss > self._limit_mb * _MIB:
            log.info(
                "child recycled",
                extra={"child": child.id, "rss_mb": rss // _MIB, "limit_mb": self._limit_mb},
            )
            self._slots.recycle(child)


def rss_bytes(pid: int) -> int:
    """The resident memory of a process; 0 when it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
