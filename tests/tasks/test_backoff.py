"""Test the waits between retries, the loop that repeats a duty, and its wake-up."""

from __future__ import annotations

import asyncio

import pytest

from taskmaster.tasks.backoff import Backoff, run_every, wait_until_set


class Retryable(Exception):
    """An error that the loop retries."""


class Duty:
    """Fail for the first `failures` calls, and stop the loop after `calls` calls."""

    def __init__(self, *, failures: int, calls: int) -> None:
        self.calls = 0
        self.errors: list[Exception] = []
        self._failures = failures
        self._last = calls

    async def __call__(self) -> None:
        self.calls += 1
        if self.calls > self._last:
            raise asyncio.CancelledError
        if self.calls <= self._failures:
            raise Retryable(self.calls)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collect the seconds that the loop would sleep."""
    collected: list[float] = []

    async def sleep(seconds: float) -> None:
        collected.append(seconds)

    monkeypatch.setattr("taskmaster.tasks.backoff.asyncio.sleep", sleep)
    return collected


async def test_waits_double_up_to_the_longest_and_start_again_after_a_reset() -> None:
    backoff = Backoff(0.1, 0.5)
    assert [backoff.next_s() for _ in range(5)] == [0.1, 0.2, 0.4, 0.5, 0.5]
    backoff.reset()
    assert backoff.next_s() == 0.1


async def test_a_wait_sleeps_for_the_next_time(waits: list[float]) -> None:
    backoff = Backoff(1.0, 3.0)
    for _ in range(3):
        await backoff.wait()
    assert waits == [1.0, 2.0, 3.0]


async def test_a_duty_is_repeated_after_the_interval(waits: list[float]) -> None:
    duty = Duty(failures=0, calls=3)
    with pytest.raises(asyncio.CancelledError):
        await run_every(5.0, duty, retry_on=(Retryable,))
    assert waits == [5.0, 5.0, 5.0]


async def test_errors_are_reported_and_backed_off_until_a_success(waits: list[float]) -> None:
    duty = Duty(failures=3, calls=5)
    with pytest.raises(asyncio.CancelledError):
        await run_every(
            5.0,
            duty,
            retry_on=(Retryable,),
            backoff=Backoff(0.1, 60.0),
            on_error=duty.errors.append,
        )
    assert waits == [0.1, 0.2, 0.4, 5.0, 5.0]
    assert [error.args for error in duty.errors] == [(1,), (2,), (3,)]


async def test_without_a_backoff_a_failed_duty_is_repeated_after_the_interval(
    waits: list[float],
) -> None:
    with pytest.raises(asyncio.CancelledError):
        await run_every(5.0, Duty(failures=2, calls=2), retry_on=(Retryable,))
    assert waits == [5.0, 5.0]


async def test_any_other_error_ends_the_loop(waits: list[float]) -> None:
    with pytest.raises(Retryable):
        await run_every(5.0, Duty(failures=1, calls=1), retry_on=(ValueError,))
    assert waits == []


@pytest.mark.parametrize(
    ("failures", "pause_s"), [(0, 0.0), (1, 0.5), (2, 1.0), (3, 2.0), (4, 3.0), (100_000, 3.0)]
)
def test_pauses_double_up_to_the_longest(failures: int, pause_s: float) -> None:
    assert Backoff(first_s=0.5, longest_s=3.0).pause_s(failures) == pause_s


async def test_a_wait_distinguishes_a_wake_up_from_the_end_of_the_time() -> None:
    event = asyncio.Event()
    assert not await wait_until_set(event, 0.01)
    asyncio.get_running_loop().call_later(0.01, event.set)
    assert await wait_until_set(event, 60.0)
