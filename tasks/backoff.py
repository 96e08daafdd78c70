"""Repeat a duty forever, back off while it fails, and wait for a wake-up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

#: Beyond this exponent every pause has reached its longest value.
_EXPONENT_MAX = 30


class Backoff:
    """Wait between retries.

    The first wait is `first_s` seconds. Each further one is twice as long, up to `longest_s`.
    """

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._failures = 0

    def reset(self) -> None:
        """Start again with the first wait: the last attempt succeeded."""
        self._failures = 0

    def next_s(self) -> float:
        """Return the next wait in seconds and double the one after it."""
        self._failures += 1
        return self.pause_s(self._failures)

    def pause_s(self, failures: int) -> float:
        """Return the wait after this number of consecutive failures. Without any, it is 0."""
        if failures < 1:
            return 0.0
        return min(self._longest_s, self._first_s * 2.0 ** min(failures - 1, _EXPONENT_MAX))

    async def wait(self) -> None:
        """Sleep for the next wait."""
        await asyncio.sleep(self.next_s())


async def run_every(
    interval_s: float,
    duty: Callable[[], Awaitable[object]],
    *,
    retry_on: tuple[type[Exception], ...],
    backoff: Backoff | None = None,
    on_error: Callable[[Exception], object] | None = None,
) -> NoReturn:
    """Run a duty, sleep `interval_s` seconds, and repeat until cancelled.

    After an error in `retry_on`, call `on_error` with it and wait for `backoff` instead of the
    interval. Without `backoff` the wait is the interval. All other errors are raised. A duty that
    does its own waiting has the interval 0.
    """
    while True:
        try:
            await duty()
        except retry_on as error:
            if on_error is not None:
                on_error(error)
            await asyncio.sleep(interval_s if backoff is None else backoff.next_s())
        else:
            if backoff is not None:
                backoff.reset()
            await asyncio.sleep(interval_s)


async def wait_until_set(event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set. Return False if the time runs out first."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
