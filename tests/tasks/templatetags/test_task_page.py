"""Test the tags of a task's page."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from taskmaster.tasks.templatetags.task_page import axis_time
from taskmaster.tasks.templatetags.taskmaster import duration

WHEN = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("length_s", "kind", "text"),
    [(0.2, "", "03:04:05.678"), (60, "s", "03:04:05"), (100_000, "day", "02 Jan 03:04")],
)
def test_an_axis_shows_times_that_differ(length_s: float, kind: str, text: str) -> None:
    assert axis_time(WHEN, length_s) == (
        f'<time datetime="2026-01-02T03:04:05.678000+00:00" data-clock="{kind}">{text}</time>'
    )


def test_minutes_are_counted_as_the_browser_counts_them() -> None:
    assert duration(3_599) == "59 min"
    assert duration(119) == "1 min"
