"""Test that processes of this host are identified by pid and start time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from taskmaster.workers.pools import processes
from tests.waiting import wait_until


def test_a_process_has_one_start_time_until_it_ends() -> None:
    process = subprocess.Popen(["sleep", "60"])
    born = processes.start_time(process.pid)
    try:
        assert born is not None
        assert processes.start_time(process.pid) == born
        processes.send_signal(process.pid, born + 1, signal.SIGKILL)
        assert process.poll() is None
        processes.send_signal(process.pid, born, signal.SIGTERM)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        # A zombie does not run.
        assert processes.start_time(process.pid) is None
    finally:
        process.kill()
        assert process.wait() == -signal.SIGTERM
    assert processes.start_time(process.pid) is None
    processes.send_signal(process.pid, born, signal.SIGTERM)


def test_a_process_is_recognized_by_the_module_that_it_runs() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "timeit", "-n", "1", "import time; time.sleep(60)"]
    )
    try:
        # The kernel may not have stored the command line yet when Popen returns.
        wait_until(lambda: processes.runs_module(process.pid, "timeit"))
        assert not processes.runs_module(process.pid, "http.server")
    finally:
        process.kill()
        process.wait()
    assert not processes.runs_module(process.pid, "timeit")
