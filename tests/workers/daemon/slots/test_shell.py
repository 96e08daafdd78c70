"""Test the command line that a shell task's kwargs produce."""

from __future__ import annotations

import json

import pytest

from taskmaster.workers.daemon.slots.shell import InvalidShellCommand, parse
from taskmaster.workers.security.private_process import without_secrets


def command(**kwargs: object) -> str:
    return json.dumps(kwargs)


def test_a_script_runs_in_a_shell_and_a_list_does_not() -> None:
    assert parse(command(command="seq 3 | sort"), {}).argv == ["/bin/sh", "-c", "seq 3 | sort"]
    assert parse(command(command=["ls", "a b"]), {}).argv == ["ls", "a b"]


def test_the_environment_is_the_worker_s_without_secrets_plus_the_task_s() -> None:
    own = {
        "PATH": "/bin",
        "DATABASE_URL": "postgresql://me:secret@here/db",
        "TASKMASTER_DATABASE_DIRECT_URL": "postgresql://me:secret@here/db",
        "TASKMASTER_SHARDS": "north=postgresql://me:secret@there/db",
        "TASKMASTER_SECRET_KEY": "secret",
        "TASKMASTER_JOIN_TOKEN": "secret",
    }
    found = parse(command(command="env", env={"WHO": "me"}), without_secrets(own))
    assert found.env == {"PATH": "/bin", "WHO": "me"}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({}, "command"),
        ({"command": ""}, "command"),
        ({"command": []}, "command"),
        ({"command": ["ls", 1]}, "command"),
        ({"command": "ls", "cwd": 1}, "cwd"),
        ({"command": "ls", "env": {"A": 1}}, "env"),
        ({"command": "ls", "env": {"A=B": "1"}}, "env"),
        ({"command": "ls\0"}, "U\\+0000"),
    ],
)
def test_an_invalid_command_is_refused(kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidShellCommand, match=message):
        parse(json.dumps(kwargs), {})


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ("[1]", "kwargs: must be an object"),
        ("{", "kwargs: is not valid JSON"),
        ("[" * 100_000, "kwargs: is not valid JSON"),
    ],
)
def test_kwargs_that_no_submission_can_have_are_refused(kwargs: str, message: str) -> None:
    with pytest.raises(InvalidShellCommand, match=message):
        parse(kwargs, {})
