"""Read a snapshot of a task and its output after a cursor."""

from __future__ import annotations

from typing import Any

import pytest

from taskmaster.taskmaster_site.console.snapshot import (
    FRAME_MAX,
    START,
    ConsoleSnapshot,
    Cursor,
    read_snapshot,
)
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.models import Task, TaskOutput
from tests.factories import stored

pytestmark = pytest.mark.django_db(transaction=True)


def started(*texts: str, **fields: Any) -> int:
    """Store a started task whose first attempt has printed these chunks."""
    [task_id] = stored()
    values = {"status": "started", "attempt": 1, "lease": 1, "worker": "heron", **fields}
    Task.objects.filter(pk=task_id).update(**values)
    TaskOutput.objects.bulk_create(
        TaskOutput(task_id=task_id, lease=1, attempt=1, seq=seq, stream="stdout", text=text)
        for seq, text in enumerate(texts)
    )
    return task_id


def read(task_id: int, cursor: Cursor = START, **arguments: Any) -> ConsoleSnapshot:
    attempt = arguments.pop("attempt", None)
    snapshot = read_snapshot(
        task_id, attempt, cursor, **{"status": None, "with_output": True, **arguments}
    )
    assert snapshot is not None
    return snapshot


def text_of(snapshot: ConsoleSnapshot) -> str:
    return "".join(piece.text for piece in snapshot.pieces)


@pytest.mark.parametrize("task_id", [123_456_789, 2**63])
def test_an_unknown_task_has_no_snapshot(task_id: int) -> None:
    assert read_snapshot(task_id, None, START, status=None, with_output=True) is None


def test_output_follows_the_cursor() -> None:
    task_id = started("one ", "two")
    first = read(task_id)
    assert (first.status, first.attempt, first.shown_worker) == ("started", 1, "heron")
    assert text_of(first) == "one two"
    assert text_of(read(task_id, first.pieces[0].until)) == "two"
    assert text_of(read(task_id, Cursor(1, 0, 2))) == "e two"
    assert text_of(read(task_id, first.pieces[1].until)) == ""
    assert text_of(read(task_id, with_output=False)) == ""


def test_output_is_cut_between_characters_at_the_size_of_a_frame() -> None:
    line = "漢x" * FRAME_MAX
    task_id = started(line, "end")
    text, cursor = "", START
    while pieces := read(task_id, cursor).pieces:
        assert sum(len(piece.text.encode()) for piece in pieces) <= FRAME_MAX
        text += "".join(piece.text for piece in pieces)
        cursor = pieces[-1].until
    assert text == f"{line}end"


def test_the_reason_is_read_only_if_the_status_has_changed() -> None:
    [task_id] = stored()
    assert (read(task_id).reason or "").startswith("No coordinator seems to be running")
    assert read(task_id, status="pending").reason is None


def test_the_worker_of_an_earlier_attempt_is_found_in_its_error() -> None:
    task_id = started(attempt=2, lease=2, errors=[{"attempt": 1, "worker": "stork"}])
    assert (read(task_id).shown, read(task_id).shown_worker) == (2, "heron")
    earlier = read(task_id, attempt=1)
    assert (earlier.attempt, earlier.shown, earlier.shown_worker) == (2, 1, "stork")


@pytest.mark.parametrize(
    "text",
    [None, 7, "", "1-2", "1-2-3-4", "a-b-c", "-1-0-0", "1-2-3\n", f"{2**63}-0-0", f"1-{2**31}-0",
     f"1-0-{2**31}", "١-٢-٣"],
)  # fmt: skip
def test_a_forged_cursor_is_refused(text: object) -> None:
    with pytest.raises(InvalidField, match="after: must be the cursor of a frame"):
        Cursor.parse("after", text)
    assert Cursor.parse("after", str(Cursor(2**62, 2**30, 5))) == Cursor(2**62, 2**30, 5)
