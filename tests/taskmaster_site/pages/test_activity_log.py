"""Merge counts of one kind and second into one line; keep all other events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from taskmaster.taskmaster_site.pages.activity_log import lines
from taskmaster.tasks.models import Event

AT = datetime(2030, 1, 31, 12, 0, 0, tzinfo=UTC)


def counted(pk: int, count: int, second: float = 0, **fields: object) -> Event:
    """Return a count."""
    given = {"kind": "complete", "queue": "mail", "worker": "heron", **fields}
    text = f"{count} tasks"
    return Event(pk=pk, at=AT + timedelta(seconds=second), count=count, text=text, **given)  # type: ignore[misc]


def shown(*events: Event) -> list[tuple[int, str]]:
    return [(event.pk, event.text) for event in lines(events)]


def test_the_counts_of_a_second_are_one_line() -> None:
    assert shown(
        counted(5, 1_000, 1.0),
        counted(4, 500, 0.9, queue="media"),
        counted(3, 600, 0.5, worker="egret"),
        counted(2, 7, 0.2),
    ) == [(5, "1000 tasks"), (2, "1,107 tasks of 2 queues on 2 workers")]


def test_one_queue_and_worker_are_named() -> None:
    assert shown(counted(2, 5, 0.3), counted(1, 6)) == [(1, "11 tasks of mail on heron")]


def test_counts_of_different_kinds_are_not_merged() -> None:
    found = shown(counted(3, 5), counted(2, 6, kind="started"), counted(1, 7))
    assert found == [(1, "12 tasks of mail on heron"), (2, "6 tasks")]


def test_single_tasks_failures_and_user_actions_keep_their_lines() -> None:
    events = [
        counted(6, 1, task_id=4),
        counted(5, 1, task_id=3),
        counted(4, 2, kind="failed"),
        counted(3, 2, kind="failed"),
        counted(2, 30, kind="submitted", user="eve"),
        counted(1, 30, kind="submitted", user="eve"),
    ]
    assert [event.pk for event in lines(events)] == [6, 5, 4, 3, 2, 1]
