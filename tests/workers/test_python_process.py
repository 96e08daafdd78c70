"""Test the environment in which another Python process of the project starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from taskmaster.workers import python_process
from tests.ordinary_user import needs_root


def test_the_path_has_the_project_but_not_the_standard_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    made = python_process.environment({"PYTHONPATH": "/given/by/hand", "HOME": "/nowhere"})
    path = made["PYTHONPATH"].split(os.pathsep)
    assert str(tmp_path) in path
    assert path[-1] == "/given/by/hand"
    assert made["HOME"] == "/nowhere"
    own = subprocess.run(
        [sys.executable, "-I", "-c", "import sys; print(*sys.path, sep=chr(10))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not set(path) & set(own.stdout.split())


def test_a_module_is_run_independently_of_the_working_directory() -> None:
    assert python_process.command("a.module", "x") == [sys.executable, "-P", "-m", "a.module", "x"]


def test_the_marks_of_a_run_are_passed_on() -> None:
    script = (
        "from taskmaster.workers import python_process; print(*python_process.command('m')[1:])"
    )
    options = ["-X", "taskmaster_run=7", "-X", "utf8"]
    done = subprocess.run(
        [sys.executable, *options, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "-X taskmaster_run=7 -P -m m\n"


@needs_root
def test_the_first_process_of_a_container_ends_on_sigterm() -> None:
    script = (
        "import signal; from taskmaster.workers import python_process; "
        "python_process.end_on_sigterm(); print('ready', flush=True); signal.pause()"
    )
    process = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as printed:
        assert printed.readline() == "ready\n"
        [first] = psutil.Process(process.pid).children()
        first.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
