"""Test the template tags of the pages of schedules."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from taskmaster.tasks.templatetags import schedules

NOW = datetime(2026, 11, 29, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("local", "text"),
    [
        (datetime(2026, 12, 6, 2, 30), "Sun 6 Dec"),
        (datetime(2027, 3, 28, 3), "Sun 28 Mar"),
        (datetime(2027, 10, 31, 2, 30), "Sun 31 Oct 2027"),
    ],
)
def test_a_day_far_away_has_its_year(local: datetime, text: str) -> None:
    assert schedules.day_of(local, NOW) == text


def test_a_time_of_day_has_seconds_only_if_there_are_any() -> None:
    assert schedules.clock_of(datetime(2026, 12, 6, 2, 30)) == "02:30"
    assert schedules.clock_of(datetime(2026, 12, 6, 2, 30, 5)) == "02:30:05"


def test_a_local_time_keeps_its_instant_in_the_title() -> None:
    html = schedules.local(NOW, "Asia/Kolkata")
    assert ">Mon 30 Nov 02:30<" in html
    assert 'title="2026-11-29 21:00:00 UTC"' in html
