"""Measure the memory, the CPU use and the event loop lag of this worker."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import psutil

from taskmaster.tasks.loop_lag import LoopLag


class Usage(NamedTuple):
    """Hold the load since the last reading.

    `cpu` is a share of one core. The lag is the largest value.
    """

    rss_bytes: int
    cpu: float
    loop_lag_ms: int


class UsageMeter:
    """Measure the supervisor, the fork server, the children and the commands."""

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids
        self.loop_lag = LoopLag()
        self._read_at = time.monotonic()
        self._cpu_s: dict[int, float] = {}

    def rss_bytes(self) -> int:
        """Return the current resident memory of all processes."""
        total = 0
        for pid in (os.getpid(), *self._pids()):
            with contextlib.suppress(psutil.Error):
                total += psutil.Process(pid).memory_info().rss
        return total

    def read(self) -> Usage:
        """Return the load since the last call."""
        rss, used, cpu_s = 0, 0.0, {}
        for pid in (os.getpid(), *self._pids()):
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                with process.oneshot():
                    rss += process.memory_info().rss
                    times = process.cpu_times()
                cpu_s[pid] = times.user + times.system
                used += max(0.0, cpu_s[pid] - self._cpu_s.get(pid, 0.0))
        now = time.monotonic()
        passed, self._read_at = max(now - self._read_at, 1e-3), now
        self._cpu_s = cpu_s
        return Usage(rss, used / passed, self.loop_lag.take_ms())
