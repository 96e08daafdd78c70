"""Test the options of `runworker`: parsing, and the round trip to a command line."""

from __future__ import annotations

import re

import pytest

from taskmaster.tasks.conf import Settings
from taskmaster.tasks.errors import ConfigurationError
from taskmaster.workers.daemon.options import WorkerOptions, parse


def options(*argv: str) -> WorkerOptions:
    return parse(argv, {}, Settings())


def test_children_are_not_recycled_by_default() -> None:
    assert options().max_tasks_per_child is None
    assert options().max_memory_per_child_mb is None


@pytest.mark.parametrize(
    "argv",
    [
        ("--name", "heron"),
        (
            "--name",
            "heron",
            "--queues",
            "mail,reports",
            "--executor",
            "async",
            "--concurrency",
            "9",
        ),
        ("--name", "heron", "--max-tasks-per-child", "100", "--max-memory-per-child", "512"),
    ],
)
def test_the_command_line_of_options_reproduces_them(argv: tuple[str, ...]) -> None:
    first = options(*argv)
    assert options(*first.argv()) == first


@pytest.mark.parametrize("option", ["concurrency", "max-tasks-per-child", "max-memory-per-child"])
@pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "many", "10000000000"])
def test_a_value_outside_the_range_is_refused(option: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^--{option} is '{value}'; it must be a whole"):
        options(f"--{option}={value}")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--executor", "eventlet"], "--executor is 'eventlet'; it must be one of process"),
        (["--max-memory-per-child", "2G"], "--max-memory-per-child is '2G'; it must be a whole"),
        (["--queues", "a b"], "'a b' is not a valid queue name"),
        (["--coordinator", "nowhere"], "'nowhere' is not HOST:PORT"),
        (["--coordinator", "10.0.0.7:50051"], "10.0.0.7:50051 is not a loopback address"),
        (["--name", ""], "--name must be 1 to 100 printable characters"),
    ],
)
def test_the_error_for_a_wrong_option_names_its_rule(argv: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        options(*argv)
