"""Gather events until they are published, and keep them after an error."""

from __future__ import annotations

import logging

import pytest

from taskmaster.tasks.event import NewEvent
from taskmaster.tasks.events import unpublished as module
from taskmaster.tasks.events.unpublished import UnpublishedEvents
from tests.coordinator.sample import Clock
from tests.tasks.events.sample import an_event


class Rejected(Exception):
    """An error after which the same events would be rejected again."""


class Outage(Exception):
    """An error after which a retry may succeed."""


def gathering() -> UnpublishedEvents:
    return UnpublishedEvents((Rejected,), clock=Clock())


def published(unpublished: UnpublishedEvents) -> list[NewEvent]:
    """Publish what was gathered and return it."""
    with unpublished.publication() as gathered:
        return list(gathered.aggregated(frozenset()))


def fail(unpublished: UnpublishedEvents, added: list[NewEvent]) -> None:
    """Add events during a publication that fails."""
    with unpublished.publication():
        unpublished.add(added)
        raise Outage


def test_events_are_published_once_in_their_order() -> None:
    unpublished = gathering()
    first, second = an_event(task_id=1), an_event(task_id=2)
    unpublished.add([first])
    unpublished.add([second])
    assert published(unpublished) == [first, second]
    assert published(unpublished) == []


def test_events_that_could_not_be_published_are_published_before_later_ones() -> None:
    unpublished = gathering()
    first, second = an_event(task_id=1), an_event(task_id=2)
    unpublished.add([first])
    with pytest.raises(Outage):
        fail(unpublished, [second])
    assert len(unpublished) == 2
    assert published(unpublished) == [first, second]


def test_rejected_events_are_dropped_and_do_not_block_later_ones(
    caplog: pytest.LogCaptureFixture,
) -> None:
    unpublished = gathering()
    unpublished.add([an_event(task_id=1), an_event(task_id=2)])
    with unpublished.publication():
        raise Rejected("invalid text\nCONTEXT: …")
    unpublished.add([an_event(task_id=3)])
    assert published(unpublished) == [an_event(task_id=3)]
    [line] = caplog.records
    assert line.getMessage() == "events dropped: PostgreSQL rejects them"
    assert (line.count, line.error) == (2, "invalid text")  # type: ignore[attr-defined]


def test_events_beyond_the_limit_are_dropped_with_a_log_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_UNPUBLISHED_MAX", 3)
    clock = Clock()
    unpublished = UnpublishedEvents((Rejected,), clock=clock)
    with caplog.at_level(logging.WARNING):
        unpublished.add([an_event(task_id=n) for n in range(3)])
        for n in range(3, 6):
            unpublished.add([an_event(task_id=n)])
        clock.now += 60
        unpublished.add([an_event(task_id=6)])
    assert [each.task_id for each in published(unpublished)] == [0, 1, 2]
    assert [line.count for line in caplog.records] == [1, 3]  # type: ignore[attr-defined]
    assert caplog.records[0].getMessage() == "events dropped: too many wait for the database"


def test_an_outage_does_not_exceed_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_UNPUBLISHED_MAX", 3)
    unpublished = gathering()
    unpublished.add([an_event(task_id=n) for n in range(2)])
    with pytest.raises(Outage):
        fail(unpublished, [an_event(task_id=n) for n in range(2, 4)])
    assert [each.task_id for each in published(unpublished)] == [0, 1]
