"""Test the rules of options, and which of two values holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import override_settings

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.options import default_options, parse_options, scheduled_time
from tests.factories import in_s


def test_the_settings_are_the_defaults() -> None:
    assert default_options() == ("default", 0, None, 3, 3_600.0, 1.0, 600.0, "continue", ())


def test_an_option_that_was_not_given_is_absent() -> None:
    assert parse_options({"queue": None, "name": "x", "timeout_s": 0}) == {"timeout_s": 0.0}


@pytest.mark.parametrize(
    ("base", "cap", "expected"),
    [
        (None, None, (1.0, 600.0)),
        (0, None, (0.0, 600.0)),
        (900, None, (900.0, 900.0)),
        (None, 0.25, (0.25, 0.25)),
        (2, 8, (2.0, 8.0)),
    ],
)
def test_a_pause_that_was_not_given_fits_the_other_one(
    base: float | None, cap: float | None, expected: tuple[float, float]
) -> None:
    given = parse_options({"retry_base_s": base, "retry_cap_s": cap})
    options = default_options().override(given)
    assert (options.retry_base_s, options.retry_cap_s) == expected


@pytest.mark.parametrize("value", ["1", True, float("nan"), float("inf"), 31 * 86_400])
def test_an_invalid_pause_is_refused(value: object) -> None:
    with pytest.raises(InvalidField, match=r"^tasks\[3\]\.retry_cap_s: "):
        parse_options({"retry_cap_s": value}, at="tasks[3].")


def test_a_time_in_any_zone_is_the_same_instant() -> None:
    when = in_s(3600)
    with_offset = when.astimezone(tz=None).isoformat()
    assert scheduled_time(with_offset) == when


@pytest.mark.parametrize("value", ["2099-07-01T12:00:00", datetime(2099, 7, 1, 12)])
def test_a_time_without_a_zone_is_in_the_zone_of_a_project_without_zones(value: Any) -> None:
    with pytest.raises(InvalidField, match="has no time zone; add Z or an offset"):
        scheduled_time(value)
    with override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo"):
        assert scheduled_time(value) == datetime(2099, 7, 1, 3, tzinfo=UTC)
