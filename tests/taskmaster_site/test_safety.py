"""Test that processes refuse to start with unsafe settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from taskmaster.taskmaster_site.safety import secret_key
from taskmaster.tasks.errors import ConfigurationError
from tests.postgres_plugin import ROOT

CHECK = ["manage.py", "check"]
STRONG = "x3k9" * 12


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"TASKMASTER_ALLOWED_HOSTS": "*"}, "TASKMASTER_ALLOWED_HOSTS contains '*'"),
        ({"TASKMASTER_SECRET_KEY": "short"}, "TASKMASTER_SECRET_KEY is too weak"),
        ({"TASKMASTER_ALLOWED_HOSTS": "tasks.example.org"}, "Set TASKMASTER_SECRET_KEY"),
        ({"DATABASE_URL": "mysql://host"}, "DATABASE_URL is not a PostgreSQL URL"),
        ({"TASKMASTER_SHARDS": "North=postgresql:///n"}, "Entry 1 of TASKMASTER_SHARDS is invalid"),
        ({"TASKMASTER_SHARDS": "north=mysql://host"}, "TASKMASTER_SHARDS is not a PostgreSQL URL"),
        ({"TASKMASTER_HEARTBEAT_INTERVAL_S": "soon"}, "it must be of type float"),
        ({"TASKMASTER_LOOKAHEAD_S": "5"}, "it must not exceed lookahead_s"),
    ],
)
def test_an_unsafe_or_invalid_setting_is_refused_with_one_line(
    environment: dict[str, str], message: str
) -> None:
    done = run(CHECK, **environment)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_error_for_an_unwritable_key_folder_has_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TASKMASTER_SECRET_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="set TASKMASTER_SECRET_KEY"):
        secret_key(tmp_path / "not" / "there")


@pytest.mark.parametrize(
    "command",
    [
        ["manage.py", "check"],
        ["-m", "daphne", "taskmaster.taskmaster_site.asgi:application"],
        ["manage.py", "runworker"],
    ],
)
def test_a_task_module_that_cannot_be_imported_stops_the_start(command: list[str]) -> None:
    done = run(command, TASKMASTER_TASK_MODULES="no.such.module")
    assert done.returncode == 1
    assert "TASKMASTER_TASK_MODULES: no.such.module cannot be imported" in done.stderr
    assert "Traceback" not in done.stderr


def test_external_hosts_need_their_own_secret_key() -> None:
    done = run(CHECK, TASKMASTER_ALLOWED_HOSTS="tasks.example.org", TASKMASTER_SECRET_KEY=STRONG)
    assert done.returncode == 0, done.stderr


def test_a_command_without_a_database_names_the_one_it_tried() -> None:
    done = run(["manage.py", "migrate"], DATABASE_URL="postgresql://me:secret@127.0.0.1:1/gone")
    assert done.returncode == 1
    assert "DATABASE_URL (127.0.0.1:1/gone) does not answer" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr
