"""Test that a command that Linux cannot start is refused when it is submitted."""

from __future__ import annotations

import subprocess
import sys

import pytest

from taskmaster.tasks import submission
from taskmaster.tasks.errors import TooLarge
from taskmaster.tasks.shell_limits import MAX_ARGUMENT, MAX_COMMAND

TOO_LONG = "x" * 200_000
LONGEST = "x" * MAX_ARGUMENT


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (
            {"command": TOO_LONG},
            "command: has 200,000 bytes; Linux limits a script, an argument and an "
            "environment variable to 131,071 bytes each; put the script into a file.",
        ),
        ({"command": LONGEST + "x"}, "command: has 131,072 bytes"),
        ({"command": "ü" * 70_000}, "command: has 140,000 bytes"),
        ({"command": ["echo", "a", TOO_LONG]}, r"command\[2\]: has 200,000 bytes"),
        ({"command": "true", "env": {"A": TOO_LONG}}, "env.A: has 200,002 bytes"),
        ({"command": "true", "env": {TOO_LONG: ""}}, r"env.x{40}: has 200,001 bytes"),
        (
            {"command": ["true", *[""] * 200_000]},
            "command: needs 1,800,013 bytes for the arguments and the environment of the command; "
            "the limit is 1,572,864; pass the data in a file.",
        ),
        ({"command": "true", "cwd": "/" * 5_000}, "cwd: is a path of more than 4,095 bytes"),
    ],
)
def test_the_limit_is_named(fields: dict[str, object], error: str) -> None:
    with pytest.raises(TooLarge, match=f"^{error}"):
        submission.parse(fields)


@pytest.mark.skipif(sys.platform != "linux", reason="the limits are those of Linux")
@pytest.mark.parametrize(
    "fields",
    [
        {"command": ["true", LONGEST]},
        {"command": ["true"], "env": {"A": LONGEST[2:]}},
        {"command": ["true", *[""] * (MAX_COMMAND // 9 - 2)]},
    ],
)
def test_linux_starts_what_the_limits_allow(fields: dict[str, object]) -> None:
    submission.parse(fields)
    command, env = fields["command"], fields.get("env", {})
    assert isinstance(command, list)
    assert isinstance(env, dict)
    subprocess.run(command, env={"PATH": "/bin:/usr/bin", **env}, check=True, timeout=10)
