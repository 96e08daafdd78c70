"""Which frames follow from what is seen of a task."""

from __future__ import annotations

from typing import Any

import pytest

from taskmaster_site.console.cursor import START, Cursor, parse
from taskmaster_site.console.look import Piece, Seen
from taskmaster_site.console.tail import UNSHOWN_MAX, Tail
from tasks.errors import InvalidField


def seen(status: str, attempt: int, lease: int, *texts: str, **fields: Any) -> Seen:
    """A look that found these pieces of the newest attempt, unless said otherwise."""
    pieces = [
        Piece("stdout", text, Cursor(lease, seq, len(text))) for seq, text in enumerate(texts)
    ]
    given = {"shown": attempt, "shown_worker": "w", "reason": None, **fields}
    return Seen(status, attempt=attempt, lease=lease, worker="w", pieces=pieces, **given)


def take(tail: Tail, look: Seen, room: bool = True) -> list[str]:
    """The frames in short: what, and the figure or word that matters."""
    words = {"status": "status", "attempt": "attempt", "output": "cursor", "end": "type"}
    return [
        f"{frame['type']} {frame[words[frame['type']]]}" for frame in tail.take(look, room=room)
    ]


def test_an_attempt_is_announced_shown_and_ended() -> None:
    tail = Tail(None, START)
    assert take(tail, seen("pending", 0, 0, reason="It is due in 4 s.")) == ["status pending"]
    assert take(tail, seen("picked", 0, 1)) == ["status picked"]
    assert take(tail, seen("started", 1, 1, shown=0)) == ["status started"]
    assert tail.hungry
    assert take(tail, seen("started", 1, 1, "a", "b")) == ["attempt 1", "output 1-1-1"]
    assert take(tail, seen("started", 1, 1)) == []
    assert not tail.hungry
    assert take(tail, seen("complete", 1, 1, "c")) == ["status complete", "output 1-0-1"]
    assert take(tail, seen("complete", 1, 1)) == ["end end"]
    assert take(tail, seen("complete", 1, 1)) == []


def test_every_attempt_is_shown_although_the_next_ones_have_begun_meanwhile() -> None:
    tail = Tail(None, START)
    assert take(tail, seen("started", 1, 1)) == ["status started", "attempt 1"]
    assert take(tail, seen("started", 3, 3, "x", shown=1)) == ["output 3-0-1"]
    assert take(tail, seen("started", 3, 3, shown=1)) == ["end end"]
    assert (tail.attempt, tail.cursor, tail.hungry) == (2, START, True)
    assert take(tail, seen("started", 3, 3, "y", shown=2)) == ["attempt 2", "output 3-0-1"]
    assert take(tail, seen("started", 3, 3, shown=2)) == ["end end"]
    assert take(tail, seen("started", 3, 3)) == ["attempt 3"]


def test_who_asked_for_an_old_attempt_is_shown_no_other_until_a_new_one_begins() -> None:
    tail = Tail(1, START)
    first = tail.take(seen("started", 2, 5, shown=1, shown_worker="old"), room=True)
    assert first[1] == {"type": "attempt", "attempt": 1, "worker": "old", "status": "failed"}
    assert first[2] == {"type": "end"}
    assert take(tail, seen("failed", 2, 5, shown=1)) == ["status failed"]
    assert take(tail, seen("started", 3, 6, shown=1)) == ["status started"]
    assert take(tail, seen("started", 3, 6)) == ["attempt 3"]


def test_an_attempt_that_is_handed_back_and_begun_anew_is_announced_anew() -> None:
    tail = Tail(None, START)
    take(tail, seen("started", 2, 4))
    assert take(tail, seen("pending", 1, 4, shown=2)) == ["status pending", "end end"]
    assert take(tail, seen("picked", 1, 5, shown=2)) == ["status picked"]
    assert take(tail, seen("started", 2, 5)) == ["status started", "attempt 2"]
    assert take(tail, seen("complete", 2, 5)) == ["status complete", "end end"]


def test_a_claim_is_no_attempt() -> None:
    tail = Tail(None, START)
    frames = tail.take(seen("pending", 1, 1), room=True)
    assert frames[1]["status"] == "failed"
    assert take(tail, seen("picked", 1, 2)) == ["status picked"]
    assert take(tail, seen("cancelled", 1, 2)) == ["status cancelled"]


def test_the_last_words_of_a_cancelled_attempt_come_with_an_end_of_their_own() -> None:
    tail = Tail(None, START)
    take(tail, seen("started", 1, 1))
    assert take(tail, seen("cancelled", 1, 1)) == ["status cancelled", "end end"]
    assert take(tail, seen("cancelled", 1, 1, "bye")) == ["output 1-0-3"]
    assert take(tail, seen("cancelled", 1, 1)) == ["end end"]


def test_what_was_cancelled_before_it_began_has_ended() -> None:
    assert take(Tail(None, START), seen("cancelled", 0, 1)) == ["status cancelled", "end end"]


def test_without_room_there_is_no_end_and_an_acknowledgement_makes_room() -> None:
    tail = Tail(None, START)
    for number in range(1, UNSHOWN_MAX + 1):
        assert tail.room
        look = seen("complete", 1, 1, "x")
        take(tail, look._replace(pieces=[Piece("log", "x", Cursor(1, number, 1))]))
    assert not tail.room
    assert take(tail, seen("complete", 1, 1), room=False) == []
    assert not tail.hungry
    tail.shown(Cursor(1, 2, 1))
    assert tail.hungry
    assert tail.room
    # The first went with the second.
    for cursor in (Cursor(1, 1, 1), Cursor(1, 9, 1)):
        with pytest.raises(InvalidField):
            tail.shown(cursor)


def test_an_attempt_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidField, match="attempt: is 3; the newest is 2"):
        Tail(3, START).take(seen("started", 2, 2, shown=3), room=True)


def test_neighbouring_pieces_of_a_stream_are_joined() -> None:
    look = seen("started", 1, 1, "a", "b", "c")
    look.pieces[2] = look.pieces[2]._replace(stream="stderr")
    assert Tail(None, START).take(look, room=True)[2]["chunks"] == [
        {"stream": "stdout", "text": "ab"},
        {"stream": "stderr", "text": "c"},
    ]


@pytest.mark.parametrize(
    "text",
    [None, 7, "", "1-2", "1-2-3-4", "a-b-c", "-1-0-0", "1-2-3\n", f"{2**63}-0-0", f"1-{2**31}-0",
     f"1-0-{2**31}", "١-٢-٣"],
)  # fmt: skip
def test_a_forged_cursor_is_refused(text: object) -> None:
    with pytest.raises(InvalidField, match="after: must be the cursor of a frame"):
        parse("after", text)
    assert parse("after", str(Cursor(2**62, 2**30, 5))) == Cursor(2**62, 2**30, 5)
