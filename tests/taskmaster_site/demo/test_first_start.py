"""Test `make demo` in a new clone, below a folder that only its owner can enter.

For root the embedded PostgreSQL then runs from a copy of its binaries, with its data elsewhere.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.postgres_plugin import ROOT
from tests.taskmaster_site.demo.running_demo import Demo, all_end, shell_environment
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(
    not os.environ.get("TASKMASTER_TEST_FIRST_START"),
    reason="TASKMASTER_TEST_FIRST_START is not set: this installs everything in a new clone",
)
_INSTALL_S = 420


def make(checkout: Path, target: str) -> str:
    return subprocess.run(
        ["make", target],
        cwd=checkout,
        env=shell_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    tmp_path.chmod(0o700)
    checkout = tmp_path / "task master"
    subprocess.run(["git", "clone", "-q", ROOT, checkout], check=True)
    yield checkout
    make(checkout, "clean")
    sources = [each.read_text() for each in Path("/var/tmp").glob("taskmaster-pg18-*/source")]
    assert not any(source.startswith(str(checkout)) for source in sources)


def processes_of(checkout: Path) -> list[psutil.Process]:
    """Return all processes whose program, working directory or arguments lie in the clone."""
    places = [str(checkout), str((checkout / ".data" / "postgres").resolve())]
    found = []
    for process in psutil.process_iter(["cwd", "exe", "cmdline"]):
        known = [process.info["cwd"], process.info["exe"], *(process.info["cmdline"] or ())]
        if any(each and each.startswith(place) for each in known for place in places):
            found.append(process)
    return found


def test_make_demo_works_in_a_new_clone_and_leaves_no_process(clone: Path) -> None:
    demo = Demo(shell_environment(), command=["make", "demo"], checkout=clone)
    try:
        demo.wait_ready(_INSTALL_S)
        assert any(line.startswith("Installing ") for line in demo.lines)
        assert any(" packages downloaded, " in line for line in demo.lines)
        token = demo.token()
        task = demo.submit({"command": "seq 3 | sort -r"}, token)
        assert demo.result(task, token) == {"exit_code": 0}
        started = [*demo.processes(), *processes_of(clone)]
        assert any(each.name().startswith("postgres") for each in started)
        demo.interrupt()
        assert all_end(started)
        assert processes_of(clone) == []
    finally:
        demo.discard()

    password = make(clone, "password").split("password: ")[1].strip()
    again = Demo(shell_environment(), command=["make", "demo"], checkout=clone)
    try:
        again.wait_ready()
        assert again.token(password) == token
        again.interrupt()
        assert wait_until(lambda: not processes_of(clone))
    finally:
        again.discard()
