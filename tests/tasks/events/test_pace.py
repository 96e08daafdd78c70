"""Seldom means at once; much means evenly, and never more than was said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.events.pace import Pace


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_is_seldom_never_waits() -> None:
    clock = Clock()
    pace = Pace(0.1, 1, clock=clock)
    for _ in range(5):
        assert pace.take() == 0
        clock.now += 0.1001


def test_what_is_much_is_spread_evenly() -> None:
    clock = Clock()
    pace = Pace(0.25, 2, clock=clock)
    turns = []
    for _ in range(6):
        clock.now += pace.take()
        turns.append(round(clock.now - 100, 6))
    assert turns == [0, 0, 0.25, 0.5, 0.75, 1.0]


@given(st.lists(st.floats(0, 0.5), max_size=60))
def test_no_second_has_more_turns_than_said(pauses: list[float]) -> None:
    clock = Clock()
    pace = Pace(1 / 3, 2, clock=clock)
    turns = []
    for pause in pauses:
        clock.now += pause
        clock.now += pace.take()
        turns.append(clock.now)
    for first in turns:
        assert sum(first <= each < first + 0.999 for each in turns) <= 4
