"""Test the setting `retention`: its forms, its defaults and what it refuses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from taskmaster.tasks.conf import Settings, read
from taskmaster.tasks.errors import ConfigurationError
from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.retention import Retention, format_time

DAY = timedelta(days=1)


def declared(value: object) -> Retention:
    return read({"retention": value}, {}).retention


def test_the_defaults() -> None:
    kept = Settings().retention
    assert kept.default == {"complete": 7 * DAY, "failed": 30 * DAY, "cancelled": 30 * DAY}
    assert (kept.operations, kept.workers, kept.queues) == (30 * DAY, DAY, {})
    assert kept.shortest() == 7 * DAY


def test_what_is_left_out_has_its_default_and_queues_have_that_of_default() -> None:
    kept = declared(
        {
            "default": {"failed": "36h"},
            "queues": {"reports": {"complete": None}, "mail": {"complete": timedelta(hours=1)}},
            "workers": "90m",
        }
    )
    assert kept.default[Status.COMPLETE] == 7 * DAY
    assert kept.queues["reports"] == {
        "complete": None,
        "failed": timedelta(hours=36),
        "cancelled": 30 * DAY,
    }
    assert (kept.workers, kept.operations) == (timedelta(minutes=90), 30 * DAY)
    assert kept.shortest() == timedelta(hours=1)
    assert kept.describe() == (
        "Finished tasks are kept: complete 7 days, failed 36 hours, cancelled 30 days; in the "
        "queue mail: complete 1 hour, failed 36 hours, cancelled 30 days; in the queue reports: "
        "complete for ever, failed 36 hours, cancelled 30 days."
    )


def test_the_environment_has_priority_and_is_json() -> None:
    text = '{"default": {"complete": null, "failed": null, "cancelled": null}, "workers": "2d"}'
    kept = read({"retention": {"workers": "3d"}}, {"TASKMASTER_RETENTION": text}).retention
    assert (kept.shortest(), kept.workers) == (None, 2 * DAY)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"default": {"complete": "59m"}}, "['default']['complete'] is '59m'; it must be from 1 "),
        ({"default": {"complete": "0d"}}, "is '0d'; it must be from 1 hour to 36,500 days; use No"),
        ({"workers": timedelta(minutes=1)}, "['workers'] is '0:01:00'; it must be from 1 hour"),
        ({"workers": timedelta(days=-1)}, "['workers'] is '-1 day, 0:00:00'; it must be from"),
        ({"operations": "999999999d"}, "['operations'] is '999999999d'; it must be from 1 hour"),
        ({"workers": 86_400}, "['workers'] is 86400; it must be a text such as '7d', '36h' or"),
        ({"workers": "7"}, "is '7'; it must be a text such as '7d'"),
        ({"complete": "7d"}, "has the key 'complete'; valid keys are default, queues, operations"),
        ({"default": {"pending": "7d"}}, "['default'] has the key 'pending'; valid keys are comp"),
        ({"queues": {"a b": {}}}, "['queues']: a queue name is 'a b'; it may contain only letters"),
        ({"queues": {7: {}}}, "['queues']: a queue name must be a string"),
        ({"queues": ["mail"]}, "['queues'] is ['mail']; it must be a dict"),
        ({"queues": {"mail": "7d"}}, "['queues']['mail'] is '7d'; it must be a dict with the key"),
        ("7d", "is '7d'; it must be a JSON object such as"),
        ("[" * 100_000, "it must be a JSON object such as"),
        (7, "is 7; it must be a dict with the keys default, queues, operations, workers."),
    ],
)
def test_bad_values_are_refused_with_value_rule_and_remedy(value: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        declared(value)
    assert message in str(caught.value)
    assert str(caught.value).startswith("TASKMASTER: TASKMASTER_RETENTION")


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (DAY, "1 day"),
        (1_500 * DAY, "1,500 days"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(minutes=90), "90 minutes"),
        (None, "for ever"),
    ],
)
def test_times_as_text(time: timedelta | None, text: str) -> None:
    assert format_time(time) == text
