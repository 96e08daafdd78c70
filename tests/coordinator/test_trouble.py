"""What is wrong with the database is said once, and once that it is over."""

from __future__ import annotations

import logging

import pytest

from coordinator.trouble import Trouble
from tests.coordinator.sample import Clock

WRONG = RuntimeError("the server is away\nand more that nobody reads")


@pytest.fixture
def clock(caplog: pytest.LogCaptureFixture) -> Clock:
    caplog.set_level(logging.INFO, "coordinator.trouble")
    return Clock()


def test_it_is_said_once_in_a_line_and_again_after_a_minute(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    trouble = Trouble(clock=clock)
    for _ in range(590):
        trouble.met(WRONG)
        clock.now += 0.1
    assert [vars(each)["error"] for each in caplog.records] == ["the server is away"]
    clock.now += 2
    assert trouble.news
    trouble.met(WRONG)
    assert len(caplog.records) == 2
    assert trouble.count == 591


def test_a_success_in_between_does_not_end_it(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    trouble = Trouble(clock=clock)
    for _ in range(20):
        trouble.met(WRONG)
        clock.now += 1
        trouble.over()
    assert len(caplog.records) == 1
    clock.now += 1
    trouble.over()
    trouble.over()
    said = [each.getMessage() for each in caplog.records]
    assert said[1:] == ["database trouble is over"]
    assert vars(caplog.records[1])["seconds"] == 19
    trouble.met(WRONG)
    assert len(caplog.records) == 3


def test_it_is_recent_for_a_while(clock: Clock) -> None:
    trouble = Trouble(clock=clock)
    assert not trouble.recent(5)
    trouble.met(WRONG)
    clock.now += 4
    assert trouble.recent(5)
    clock.now += 1
    assert not trouble.recent(5)
