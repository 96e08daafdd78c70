"""What a task raises to say itself what comes after this attempt.

from tasks.retries import Discard, Retry

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

#: Longer pauses are cut to this: 30 days.
MAX_AFTER_S = 30 * 86_400.0


class Retry(Exception):
    """This attempt failed; try again after a pause of the task's own choice.

    It counts as an attempt: when `max_attempts` are used up the task ends failed. `after` is
    seconds, a timedelta, or a moment with its zone; without it the task's policy decides.
    """

    def __init__(
        self, reason: str = "", *, after: float | timedelta | datetime | None = None
    ) -> None:
        super().__init__(reason or "asked to be tried again")
        self.after_s = None if after is None else min(MAX_AFTER_S, max(0.0, _seconds(after)))


class Discard(Exception):
    """The task cannot succeed: it ends failed at once, whatever attempts are left."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "discarded by the task")


def _seconds(after: float | timedelta | datetime) -> float:
    if isinstance(after, datetime):
        if after.tzinfo is None:
            raise ValueError(f"Retry(after={after}) has no zone; give an aware datetime.")
        return (after - datetime.now(UTC)).total_seconds()
    return after.total_seconds() if isinstance(after, timedelta) else float(after)
