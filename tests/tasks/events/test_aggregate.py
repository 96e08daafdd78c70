"""Aggregate many events into counts without losing any."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.tasks.events.aggregate import SINGLES_MAX, EventBatch, aggregate
from taskmaster.tasks.messages import Completion, RecordedAttempt
from tests.tasks.events.sample import an_event

HERON = UUID(int=1)

events = st.lists(
    st.builds(
        an_event,
        st.sampled_from(list(EventKind)),
        st.integers(1, 30),
        queue=st.sampled_from(["mail", "media", *(f"q{n}" for n in range(40))]),
        worker=st.sampled_from(["", "worker-1", "worker-2"]),
    ),
    max_size=200,
)


def batch_of(ids: range) -> EventBatch:
    """Return a batch of completions with their reports."""
    return EventBatch(
        EventKind.COMPLETE,
        [RecordedAttempt(task_id, "a.task", "mail", 0.002) for task_id in ids],
        lambda row, report: NewEvent(
            EventKind.COMPLETE, f"on {report.worker}", row.task_id, row.name, row.queue
        ),
        [Completion(task_id, 1, 1, 0.5, 0.3, "heron", HERON, None) for task_id in ids],
    )


def test_few_events_stay_single() -> None:
    some = [an_event(task_id=n) for n in range(SINGLES_MAX)]
    assert aggregate(some) == some


def test_many_events_of_one_kind_become_one_count() -> None:
    [count] = aggregate([an_event(task_id=n) for n in range(1_842)])
    assert (count.count, count.text, count.queue, count.task_id) == (
        1_842,
        "1,842 tasks of mail",
        "mail",
        None,
    )


def test_an_event_of_a_rare_kind_stays_single_among_many_events() -> None:
    failure = an_event(EventKind.FAILED, 7)
    published = aggregate([*(an_event(task_id=n) for n in range(100)), failure])
    assert failure in published
    assert [each.count for each in published] == [100, 1]


def test_an_event_of_a_watched_task_stays_single_among_many_events() -> None:
    published = aggregate([an_event(task_id=n) for n in range(100)], watched={42})
    assert an_event(task_id=42) in published
    assert sum(each.count for each in published) == 100


def test_a_batch_builds_texts_only_for_single_events() -> None:
    [count, single] = aggregate([], [batch_of(range(100))], {42})
    assert (count.text, count.count) == ("99 tasks of mail on heron", 99)
    assert (single.text, single.task_id) == ("on heron", 42)


def test_batches_and_events_share_the_limit_of_single_events() -> None:
    online = an_event(EventKind.ONLINE, None)
    few = aggregate([online], [batch_of(range(SINGLES_MAX - 1))])
    assert [each.count for each in few] == [1] * SINGLES_MAX
    many = aggregate([online], [batch_of(range(SINGLES_MAX))])
    assert [each.count for each in many] == [SINGLES_MAX, 1]


@given(events, st.sets(st.integers(1, 30), max_size=3))
def test_every_event_is_counted_once_under_its_kind(many: list, watched: set[int]) -> None:
    published = aggregate(many, watched=watched)
    for kind in EventKind:
        assert sum(each.count for each in published if each.kind == kind) == sum(
            each.kind == kind for each in many
        )
    for each in many:
        if each.task_id in watched:
            assert each in published
