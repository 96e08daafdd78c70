"""Test that refusals are logged at a bounded rate."""

from __future__ import annotations

import pytest

from taskmaster.coordinator.support.log_throttle import LogThrottle
from tests.coordinator.sample import Clock


def test_each_reason_is_logged_once_in_ten_seconds_with_its_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    refusals = LogThrottle(clock)
    for _ in range(1_000):
        refusals.warn("too long", worker="heron")
        refusals.warn("too short", worker="heron")
    assert [record.getMessage() for record in caplog.records] == ["too long", "too short"]
    clock.now += 10
    refusals.warn("too long", worker="crane")
    [*_, last] = caplog.records
    assert vars(last)["count"] == 1_000
    assert vars(last)["worker"] == "crane"
