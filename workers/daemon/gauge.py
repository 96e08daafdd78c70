"""What this worker uses: memory, CPU, and how late its event loop is."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import psutil

from tasks.lag import LoopLag


class Load(NamedTuple):
    """Since the last reading. `cpu` of one core; the lag is the worst."""

    rss_bytes: int
    cpu: float
    loop_lag_ms: int


class Gauge:
    """Reads the supervisor and what descends from it."""

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids
        self.lag = LoopLag()
        self._read_at = time.monotonic()
        self._cpu_s: dict[int, float] = {}

    def rss_bytes(self) -> int:
        """The memory of all of them now."""
        total = 0
        for pid in (os.getpid(), *self._pids()):
            with contextlib.suppress(psutil.Error):
                total += psutil.Process(pid).memory_info().rss
        return total

    def read(self) -> Load:
        """The load since the last call."""
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
        return Load(rss, used / passed, self.lag.take_ms())
