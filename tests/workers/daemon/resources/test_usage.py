"""Test the measurement of memory and CPU of a worker's processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil

from taskmaster.workers.daemon.resources.usage import UsageMeter

SPIN = "import time\nend = time.monotonic() + 30\nwhile time.monotonic() < end: pass"


def test_memory_and_cpu_include_the_children_and_skip_processes_that_are_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", SPIN])
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    try:
        meter = UsageMeter(lambda: [(child.pid, None), (gone.pid, None)])
        meter.read()
        deadline = time.monotonic() + 20
        while (usage := meter.read()).cpu <= 0.01 and time.monotonic() < deadline:
            time.sleep(0.2)
        own = psutil.Process(os.getpid()).memory_full_info().pss
        children = psutil.Process(child.pid).memory_full_info().pss
        assert usage.cpu > 0.01
        assert usage.memory_bytes > own / 2 + children / 2
        assert meter.memory_bytes() > own / 2 + children / 2
    finally:
        child.kill()
        child.wait()


def test_a_reading_soon_after_another_keeps_the_share_of_cpu() -> None:
    now = 0.0
    meter = UsageMeter(list, clock=lambda: now)
    now = 10.0
    share = meter.read().cpu
    assert share > 0
    _use_cpu(0.05)
    now = 10.001
    assert meter.read().cpu == share
    # The next share covers the time since the reading that was measured.
    now = 11.0
    assert meter.read().cpu >= 0.03


def _use_cpu(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_the_lag_of_the_event_loop_is_read_once() -> None:
    meter = UsageMeter(list)
    assert meter.read().loop_lag_ms >= 0
    assert meter.read().loop_lag_ms == 0
