"""Define the exceptions by which a task requests a retry or rejects further attempts.

from taskmaster.tasks.retries import Discard, Retry

@task
def fetch(url: str) -> str:
    answer = get(url)
    if answer.status == 429:
        raise Retry(after=float(answer.headers["Retry-After"]))
    if answer.status == 404:
        raise Discard("the page is gone")
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

#: Longer pauses are reduced to this: 30 days.
MAX_AFTER_S = 30 * 86_400.0


class Retry(Exception):
    """Fail this attempt and retry the task after a given pause.

    The attempt counts: the task fails when `max_attempts` are used up. `after` is a number of
    seconds, a timedelta or an aware datetime. Without it the task's retry policy sets the pause.
    """

    def __init__(
        self, reason: str = "", *, after: float | timedelta | datetime | None = None
    ) -> None:
        super().__init__(reason or "the task requested a retry")
        self.after_s = None if after is None else min(MAX_AFTER_S, max(0.0, _seconds(after)))


class Discard(Exception):
    """Fail the task immediately, even if attempts are left."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "discarded by the task")


def _seconds(after: float | timedelta | datetime) -> float:
    if isinstance(after, datetime):
        if after.tzinfo is None:
            raise ValueError(f"Retry(after={after}) has no time zone; pass an aware datetime.")
        return (after - datetime.now(UTC)).total_seconds()
    return after.total_seconds() if isinstance(after, timedelta) else float(after)
