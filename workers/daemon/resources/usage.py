"""Measure the memory, the CPU use and the event loop lag of this worker."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import psutil

from taskmaster.tasks.loop_lag import LoopLag
from taskmaster.workers.daemon.resources import memory_file

#: Shortest interval for the share of CPU, in seconds. The kernel counts CPU time in ticks of 10 ms.
_LEAST_S = 0.5


class Usage(NamedTuple):
    """Hold the load since the last reading.

    The memory is the current PSS. `cpu` is a share of one core, measured over at least half a
    second. The lag is the largest value.
    """

    memory_bytes: int
    cpu: float
    loop_lag_ms: int


class UsageMeter:
    """Measure the supervisor, the fork server, the children and the commands."""

    def __init__(
        self,
        measured: Callable[[], Iterable[tuple[int, int | None]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        #: Returns the pids, each with the memory file that the process has sent.
        self._measured = measured
        self.loop_lag = LoopLag()
        self._clock = clock
        self._read_at = clock()
        self._cpu_s: dict[int, float] = {}
        self._cpu = 0.0

    def memory_bytes(self) -> int:
        """Return the memory of all processes. A reading takes about a millisecond per process."""
        return sum(memory_file.memory_bytes(*each) for each in self._processes())

    def _processes(self) -> list[tuple[int, int | None]]:
        return [(os.getpid(), None), *self._measured()]

    def read(self) -> Usage:
        """Return the load since the last call.

        If that was less than half a second ago, as before the last heartbeat of a leaving worker,
        the share of CPU is the previous one.
        """
        memory, used, cpu_s = 0, 0.0, {}
        for pid, file in self._processes():
            memory += memory_file.memory_bytes(pid, file)
            with contextlib.suppress(psutil.Error):
                times = psutil.Process(pid).cpu_times()
                cpu_s[pid] = times.user + times.system
                used += max(0.0, cpu_s[pid] - self._cpu_s.get(pid, 0.0))
        now = self._clock()
        if (passed := now - self._read_at) >= _LEAST_S:
            self._cpu = used / passed
            self._read_at, self._cpu_s = now, cpu_s
        return Usage(memory, self._cpu, self.loop_lag.take_ms())
