"""Test that a database outage is logged once at its start and once at its end."""

from __future__ import annotations

import logging

import pytest

from taskmaster.tasks.outage_log import OutageLog
from tests.coordinator.sample import Clock

ERROR = RuntimeError("the server closed the connection\nwith details in a second line")


@pytest.fixture
def clock(caplog: pytest.LogCaptureFixture) -> Clock:
    caplog.set_level(logging.INFO, "taskmaster.tasks.outage_log")
    return Clock()


def test_an_outage_is_logged_in_one_line_and_again_after_a_minute(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    outage = OutageLog(clock=clock)
    for _ in range(590):
        outage.record_error(ERROR)
        clock.now += 0.1
    assert [vars(each)["error"] for each in caplog.records] == ["the server closed the connection"]
    clock.now += 2
    assert outage.line_is_due
    outage.record_error(ERROR)
    assert len(caplog.records) == 2
    assert outage.error_count == 591


def test_a_success_between_two_errors_does_not_end_the_outage(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    outage = OutageLog(clock=clock)
    for _ in range(20):
        outage.record_error(ERROR)
        clock.now += 1
        outage.record_success()
    assert len(caplog.records) == 1
    clock.now += 1
    outage.record_success()
    outage.record_success()
    assert caplog.messages[1:] == ["database available again"]
    assert vars(caplog.records[1])["seconds"] == 19
    outage.record_error(ERROR)
    assert len(caplog.records) == 3


def test_an_error_is_recent_for_the_given_time(clock: Clock) -> None:
    outage = OutageLog(clock=clock)
    assert not outage.had_error_within(5)
    outage.record_error(ERROR)
    clock.now += 4
    assert outage.had_error_within(5)
    clock.now += 1
    assert not outage.had_error_within(5)
