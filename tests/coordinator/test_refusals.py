"""Whoever sends nonsense does not fill the log."""

from __future__ import annotations

import pytest

from coordinator.refusals import Refusals
from tests.coordinator.sample import Clock


def test_each_reason_has_a_line_in_ten_seconds_which_says_how_many_there_were(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    refusals = Refusals(clock)
    for _ in range(1_000):
        refusals.note("too long", worker="heron")
        refusals.note("too short", worker="heron")
    assert [record.getMessage() for record in caplog.records] == ["too long", "too short"]
    clock.now += 10
    refusals.note("too long", worker="crane")
    [*_, last] = caplog.records
    assert vars(last)["count"] == 1_000
    assert vars(last)["worker"] == "crane"
