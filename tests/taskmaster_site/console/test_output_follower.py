"""Convert snapshots of a task into frames."""

from __future__ import annotations

from typing import Any

import pytest

from taskmaster.taskmaster_site.console.output_follower import UNACKNOWLEDGED_MAX, OutputFollower
from taskmaster.taskmaster_site.console.snapshot import START, ConsoleSnapshot, Cursor, OutputPiece
from taskmaster.tasks.errors import InvalidField


def snapshot(status: str, attempt: int, lease: int, *texts: str, **fields: Any) -> ConsoleSnapshot:
    """Return a snapshot with output of the newest attempt, unless `fields` name another."""
    pieces = [
        OutputPiece("stdout", text, Cursor(lease, seq, len(text))) for seq, text in enumerate(texts)
    ]
    values = {"shown": attempt, "shown_worker": "w", "reason": None, **fields}
    return ConsoleSnapshot(
        status, attempt=attempt, lease=lease, worker="w", pieces=pieces, **values
    )


def frames(follower: OutputFollower, given: ConsoleSnapshot, with_output: bool = True) -> list[str]:
    """Return the frames in short form: the type and the most important value."""
    values = {"status": "status", "attempt": "attempt", "output": "cursor", "end": "type"}
    return [
        f"{frame['type']} {frame[values[frame['type']]]}"
        for frame in follower.frames(given, with_output=with_output)
    ]


def test_an_attempt_is_named_shown_and_ended() -> None:
    follower = OutputFollower(None, START)
    assert frames(follower, snapshot("pending", 0, 0, reason="It is due in 4 s.")) == [
        "status pending"
    ]
    assert frames(follower, snapshot("picked", 0, 1)) == ["status picked"]
    assert frames(follower, snapshot("started", 1, 1, shown=0)) == ["status started"]
    assert follower.has_more
    assert frames(follower, snapshot("started", 1, 1, "a", "b")) == ["attempt 1", "output 1-1-1"]
    assert frames(follower, snapshot("started", 1, 1)) == []
    assert not follower.has_more
    assert frames(follower, snapshot("complete", 1, 1, "c")) == ["status complete", "output 1-0-1"]
    assert frames(follower, snapshot("complete", 1, 1)) == ["end end"]
    assert frames(follower, snapshot("complete", 1, 1)) == []


def test_every_attempt_is_shown_even_if_later_ones_have_begun() -> None:
    follower = OutputFollower(None, START)
    assert frames(follower, snapshot("started", 1, 1)) == ["status started", "attempt 1"]
    assert frames(follower, snapshot("started", 3, 3, "x", shown=1)) == ["output 3-0-1"]
    assert frames(follower, snapshot("started", 3, 3, shown=1)) == ["end end"]
    assert (follower.attempt, follower.cursor, follower.has_more) == (2, START, True)
    assert frames(follower, snapshot("started", 3, 3, "y", shown=2)) == [
        "attempt 2",
        "output 3-0-1",
    ]
    assert frames(follower, snapshot("started", 3, 3, shown=2)) == ["end end"]
    assert frames(follower, snapshot("started", 3, 3)) == ["attempt 3"]


def test_a_reader_of_an_old_attempt_is_shown_only_attempts_that_begin_later() -> None:
    follower = OutputFollower(1, START)
    first = follower.frames(
        snapshot("started", 2, 5, shown=1, shown_worker="old"), with_output=True
    )
    assert first[1] == {"type": "attempt", "attempt": 1, "worker": "old", "status": "failed"}
    assert first[2] == {"type": "end"}
    assert frames(follower, snapshot("failed", 2, 5, shown=1)) == ["status failed"]
    assert frames(follower, snapshot("started", 3, 6, shown=1)) == ["status started"]
    assert frames(follower, snapshot("started", 3, 6)) == ["attempt 3"]


def test_an_attempt_that_was_handed_back_and_restarted_is_named_again() -> None:
    follower = OutputFollower(None, START)
    frames(follower, snapshot("started", 2, 4))
    assert frames(follower, snapshot("pending", 1, 4, shown=2)) == ["status pending", "end end"]
    assert frames(follower, snapshot("picked", 1, 5, shown=2)) == ["status picked"]
    assert frames(follower, snapshot("started", 2, 5)) == ["status started", "attempt 2"]
    assert frames(follower, snapshot("complete", 2, 5)) == ["status complete", "end end"]


def test_a_claim_does_not_count_as_an_attempt() -> None:
    follower = OutputFollower(None, START)
    [_, attempt, *_] = follower.frames(snapshot("pending", 1, 1), with_output=True)
    assert attempt["status"] == "failed"
    assert frames(follower, snapshot("picked", 1, 2)) == ["status picked"]
    assert frames(follower, snapshot("cancelled", 1, 2)) == ["status cancelled"]


def test_late_output_of_a_cancelled_attempt_is_followed_by_another_end() -> None:
    follower = OutputFollower(None, START)
    frames(follower, snapshot("started", 1, 1))
    assert frames(follower, snapshot("cancelled", 1, 1)) == ["status cancelled", "end end"]
    assert frames(follower, snapshot("cancelled", 1, 1, "bye")) == ["output 1-0-3"]
    assert frames(follower, snapshot("cancelled", 1, 1)) == ["end end"]


def test_a_task_that_was_cancelled_before_its_start_has_ended() -> None:
    assert frames(OutputFollower(None, START), snapshot("cancelled", 0, 1)) == [
        "status cancelled",
        "end end",
    ]


def test_without_output_there_is_no_end_and_an_acknowledgement_adds_capacity() -> None:
    follower = OutputFollower(None, START)
    for number in range(1, UNACKNOWLEDGED_MAX + 1):
        assert follower.has_capacity
        given = snapshot("complete", 1, 1, "x")
        frames(follower, given._replace(pieces=[OutputPiece("log", "x", Cursor(1, number, 1))]))
    assert not follower.has_capacity
    assert frames(follower, snapshot("complete", 1, 1), with_output=False) == []
    assert not follower.has_more
    follower.acknowledge(Cursor(1, 2, 1))
    assert follower.has_more
    assert follower.has_capacity
    # The first was acknowledged with the second.
    for cursor in (Cursor(1, 1, 1), Cursor(1, 9, 1)):
        with pytest.raises(InvalidField):
            follower.acknowledge(cursor)


def test_an_attempt_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidField, match="attempt: is 3; the newest is 2"):
        OutputFollower(3, START).frames(snapshot("started", 2, 2, shown=3), with_output=True)


def test_adjacent_pieces_of_a_stream_are_joined() -> None:
    given = snapshot("started", 1, 1, "a", "b", "c")
    given.pieces[2] = given.pieces[2]._replace(stream="stderr")
    assert OutputFollower(None, START).frames(given, with_output=True)[2]["chunks"] == [
        {"stream": "stdout", "text": "ab"},
        {"stream": "stderr", "text": "c"},
    ]
