"""Limit the rate of an action: immediate at low rates, evenly spaced at high rates."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taskmaster.tasks.events.rate_limit import RateLimit


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_rare_action_never_waits() -> None:
    clock = Clock()
    rate = RateLimit(0.1, 1, clock=clock)
    for _ in range(5):
        assert rate.reserve() == 0
        clock.now += 0.1001


def test_a_frequent_action_is_spaced_evenly() -> None:
    clock = Clock()
    rate = RateLimit(0.25, 2, clock=clock)
    times = []
    for _ in range(6):
        clock.now += rate.reserve()
        times.append(round(clock.now - 100, 6))
    assert times == [0, 0, 0.25, 0.5, 0.75, 1.0]


@given(st.lists(st.floats(0, 0.5), max_size=60))
def test_no_second_has_more_actions_than_the_limit(pauses: list[float]) -> None:
    clock = Clock()
    rate = RateLimit(1 / 3, 2, clock=clock)
    times = []
    for pause in pauses:
        clock.now += pause
        clock.now += rate.reserve()
        times.append(clock.now)
    for first in times:
        assert sum(first <= each < first + 0.999 for each in times) <= 4
