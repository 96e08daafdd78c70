"""One look at a task and at what it has printed."""

from __future__ import annotations

from typing import NamedTuple

from django.db import connection

from taskmaster_site.console.cursor import Cursor
from tasks.ids import MAX_ID
from tasks.models import Task
from tasks.reasons import why
from tasks.statements import statement

#: Of text in a frame, in bytes of UTF-8.
FRAME_MAX = 65_536
_ROWS = 500


class Piece(NamedTuple):
    """A part of a chunk, and how far it leads."""

    stream: str
    text: str
    until: Cursor


class Seen(NamedTuple):
    """A task, and the next pieces of the attempt that is shown."""

    status: str
    #: Why it is not running yet; asked only when its status is another than before.
    reason: str | None
    #: The newest.
    attempt: int
    lease: int
    worker: str
    #: The attempt of which these pieces are, and on which worker it was.
    shown: int
    shown_worker: str
    pieces: list[Piece]


def look(
    task_id: int, attempt: int | None, cursor: Cursor, *, status: str | None, room: bool
) -> Seen | None:
    """What there is now; None when there is no such task.

    `attempt`: which one's output, None for the newest. `status`: what the reader knows already.
    `room`: whether there is any for output. Blocks, and gives the connection back.
    """
    if task_id > MAX_ID:
        return None
    try:
        # First the task, then its output: what has ended has printed everything before.
        task = Task.objects.defer("args", "kwargs", "result").filter(pk=task_id).first()
        if task is None:
            return None
        shown = task.attempt if attempt is None else attempt
        return Seen(
            status=task.status,
            reason=why(task) if task.status != status else None,
            attempt=task.attempt,
            lease=task.lease,
            worker=task.worker,
            shown=shown,
            shown_worker=task.worker if shown == task.attempt else _worker(task, shown),
            pieces=_pieces(task_id, shown, cursor) if room and shown else [],
        )
    finally:
        connection.close()


def _worker(task: Task, attempt: int) -> str:
    names = [error.get("worker") for error in task.errors if error.get("attempt") == attempt]
    return names[-1] or "" if names else ""


def _pieces(task_id: int, attempt: int, cursor: Cursor) -> list[Piece]:
    """As many as a frame holds."""
    parameters = {"id": task_id, "attempt": attempt, "most": FRAME_MAX, "rows": _ROWS}
    with connection.cursor() as database:
        database.execute(statement("console"), {**parameters, **cursor._asdict()})
        rows = database.fetchall()
    pieces: list[Piece] = []
    left = FRAME_MAX
    for lease, seq, stream, skipped, text in rows:
        fitting = _first(text, left)
        if fitting:
            pieces.append(Piece(stream, fitting, Cursor(lease, seq, skipped + len(fitting))))
            left -= len(fitting.encode())
        if len(fitting) < len(text):
            break
    return pieces


def _first(text: str, size: int) -> str:
    """As many of its characters as so many bytes hold."""
    if len(text) * 4 <= size:
        return text
    return text.encode()[:size].decode(errors="ignore")
