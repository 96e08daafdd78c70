"""Recycle children whose resident memory exceeds the limit."""

from __future__ import annotations

import asyncio
import logging

import psutil

from taskmaster.workers.daemon.fork_server.client import ForkServerClient
from taskmaster.workers.daemon.slots import PythonSlots
from taskmaster.workers.daemon.slots.child import ChildConnection

log = logging.getLogger(__name__)

#: Interval between two checks. A check costs 16 µs per child. Running attempts pay nothing for it.
_INTERVAL_S = 1.0
_MIB = 1_048_576


class MemoryWatch:
    """Check the children that have run attempts since the last check."""

    def __init__(self, slots: PythonSlots, fork_server: ForkServerClient, limit_mb: int) -> None:
        self._slots = slots
        self._fork_server = fork_server
        self._limit_mb = limit_mb
        #: Number of attempts that each child had started, by child id. A child that was busy at the
        #: last check has no entry.
        self._begun: dict[int, int] = {}

    async def run(self) -> None:
        """Check the children until cancelled."""
        if rss_bytes(self._fork_server.pid) > self._limit_mb * _MIB:
            log.warning(
                "memory limit is below the memory of a new child",
                extra={"limit_mb": self._limit_mb},
            )
        while True:
            await asyncio.sleep(_INTERVAL_S)
            self.check()

    def check(self) -> None:
        """Check each child whose memory may have grown."""
        begun = {}
        for child in self._slots.children:
            # An attempt that is running may still take memory, so the child is checked again.
            if not child.attempts:
                begun[child.id] = child.begun
            if child.attempts or child.begun != self._begun.get(child.id, 0):
                self._check_child(child)
        self._begun = begun

    def _check_child(self, child: ChildConnection) -> None:
        pid = self._fork_server.pids.get(child.id)
        rss = 0 if pid is None else rss_bytes(pid)
        if rss > self._limit_mb * _MIB:
            log.info(
                "child recycled",
                extra={"child": child.id, "rss_mb": rss // _MIB, "limit_mb": self._limit_mb},
            )
            self._slots.recycle(child)


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process in bytes, or 0 if it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
