"""Test the marks that identify the processes of a demo run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from taskmaster.taskmaster_site.demo.run_mark import RunMark

HIDDEN = """\
import time
from taskmaster.workers.security import private_process
private_process.hide()
print(flush=True)
time.sleep(60)
"""


def sleeper(mark: RunMark, *command: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **mark.environment}
    return subprocess.Popen(command or ("sleep", "60"), env=environment, start_new_session=True)


async def test_marked_processes_are_found_and_ended(tmp_path: Path) -> None:
    mark = RunMark.create(tmp_path)
    process = sleeper(mark)
    assert [each.pid for each in mark.processes()] == [process.pid]
    assert await mark.end() == 1
    assert process.wait(10) != 0
    assert mark.processes() == []
    mark.release()
    assert list(tmp_path.iterdir()) == []


async def test_a_process_whose_environment_has_no_mark_is_found_by_its_command_line(
    tmp_path: Path,
) -> None:
    mark = RunMark.create(tmp_path)
    process = subprocess.Popen(
        [sys.executable, *mark.options, "-c", HIDDEN],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert [each.pid for each in mark.processes()] == [process.pid]
    assert await mark.end() == 1
    assert process.wait(10) != 0
    process.stdout.close()
    mark.release()


async def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    mark = RunMark.create(tmp_path)
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    process = subprocess.Popen(
        ["sh", "-c", script],
        env={**os.environ, **mark.environment},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    await mark.end(grace_s=0.2)
    assert process.wait(10) == -9
    process.stdout.close()
    mark.release()


def test_the_mark_of_a_live_run_is_not_abandoned(tmp_path: Path) -> None:
    live = RunMark.create(tmp_path)
    assert list(RunMark.abandoned(tmp_path)) == []
    live.release()


def test_the_notes_of_an_abandoned_run_are_readable(tmp_path: Path) -> None:
    killed = RunMark.create(tmp_path)
    killed.add_note("postgres")
    # Closing the file releases the lock, as the death of the process does.
    killed._file.close()
    [found] = RunMark.abandoned(tmp_path)
    assert (found.token, found.notes()) == (killed.token, ["postgres"])
    found.release()
