"""The options of `runworker`: what they become, and that they say the same again."""

from __future__ import annotations

import pytest

from tasks.conf import Settings
from tasks.errors import ConfigurationError
from workers.daemon.options import Options, parse


def options(*argv: str) -> Options:
    return parse(argv, {}, Settings())


def test_children_live_for_ever_unless_told_otherwise() -> None:
    assert options().max_tasks_per_child is None
    assert options().max_memory_per_child_mb is None


@pytest.mark.parametrize(
    "argv",
    [
        ("--name", "heron"),
        ("--name", "heron", "--queues", "mail,reports", "--pool", "async", "--concurrency", "9"),
        ("--name", "heron", "--max-tasks-per-child", "100", "--max-memory-per-child", "512"),
    ],
)
def test_the_command_line_of_options_says_the_same_again(argv: tuple[str, ...]) -> None:
    first = options(*argv)
    assert options(*first.argv()) == first


@pytest.mark.parametrize("option", ["concurrency", "max-tasks-per-child", "max-memory-per-child"])
@pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "many", "10000000000"])
def test_what_is_no_whole_number_in_range_is_refused(option: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^--{option} is '{value}'; it must be a whole"):
        options(f"--{option}={value}")
