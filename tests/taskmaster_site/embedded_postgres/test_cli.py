"""Test the command line of the embedded PostgreSQL, in real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.postgres_plugin import ROOT

MODULE = (sys.executable, "-m", "taskmaster.taskmaster_site.embedded_postgres")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return subprocess.run(
        [*MODULE, *arguments],
        cwd=ROOT,
        env={**environment, "TASKMASTER_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_a_server_is_started_shown_stopped_and_removed(tmp_path: Path) -> None:
    assert run(tmp_path, "status").stdout == "not running\n"
    try:
        url = run(tmp_path, "start").stdout
        assert url.startswith("postgresql://")
        assert run(tmp_path, "status").stdout == url
        assert run(tmp_path, "stop").returncode == 0
        assert run(tmp_path, "status").stdout == "not running\n"
    finally:
        assert run(tmp_path, "remove").returncode == 0
    assert not (tmp_path / "postgres").exists()


def test_a_command_gets_a_server_for_its_run(tmp_path: Path) -> None:
    script = "import os; print(os.environ['DATABASE_URL'])"
    try:
        done = run(tmp_path, "run", "--", sys.executable, "-c", script)
        assert done.stdout.startswith("postgresql://")
        assert run(tmp_path, "status").stdout == "not running\n"
        missing = run(tmp_path, "run", "--", "no-such-command")
        assert (missing.returncode, missing.stderr) == (
            1,
            "no-such-command: No such file or directory\n",
        )
    finally:
        run(tmp_path, "remove")


def test_an_unknown_command_prints_the_usage(tmp_path: Path) -> None:
    done = run(tmp_path, "restart")
    assert done.returncode == 2
    assert done.stderr.startswith("usage: python -m taskmaster.taskmaster_site.embedded_postgres")
