"""Many events become counts, and none is lost in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.events.event import Kind
from tasks.events.fold import SINGLES_MAX, fold
from tests.tasks.events.sample import an_event

events = st.lists(
    st.builds(
        an_event,
        st.sampled_from(list(Kind)),
        st.integers(1, 30),
        queue=st.sampled_from(["mail", "media", *(f"q{n}" for n in range(40))]),
        worker=st.sampled_from(["", "worker-1", "worker-2"]),
    ),
    max_size=200,
)


def test_few_events_stay_as_they_are() -> None:
    some = [an_event(task_id=n) for n in range(SINGLES_MAX)]
    assert fold(some) == some


def test_many_of_one_kind_are_one_line() -> None:
    [line] = fold([an_event(task_id=n) for n in range(1_842)])
    assert (line.count, line.text, line.queue, line.task_id) == (
        1_842,
        "1,842 tasks of mail",
        "mail",
        None,
    )


def test_rare_kinds_keep_their_words() -> None:
    failure = an_event(Kind.FAILED, 7)
    lines = fold([*(an_event(task_id=n) for n in range(100)), failure])
    assert failure in lines
    assert [line.count for line in lines] == [100, 1]


def test_a_watched_task_is_never_folded() -> None:
    lines = fold([an_event(task_id=n) for n in range(100)], watched={42})
    assert an_event(task_id=42) in lines
    assert sum(line.count for line in lines) == 100


@given(events, st.sets(st.integers(1, 30), max_size=3))
def test_every_event_is_counted_once_under_its_kind(many: list, watched: set[int]) -> None:
    lines = fold(many, watched)
    for kind in Kind:
        assert sum(line.count for line in lines if line.kind == kind) == sum(
            each.kind == kind for each in many
        )
    for each in many:
        if each.task_id in watched:
            assert each in lines
