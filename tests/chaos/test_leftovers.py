"""Test how the processes of a run are found."""

from __future__ import annotations

import contextlib
import subprocess
from uuid import uuid4

import psutil

from chaos.leftovers import START_DAEMON, count_daemons, marked
from tests.waiting import wait_until


def test_a_daemon_of_a_task_is_counted_until_it_ends() -> None:
    before, name = count_daemons(), str(uuid4())
    subprocess.run(["sh", "-c", START_DAEMON], env=marked(CHAOS_TEST=name), check=True)
    wait_until(lambda: count_daemons() == before + 1)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("CHAOS_TEST") == name:
                process.kill()
    wait_until(lambda: count_daemons() == before)
