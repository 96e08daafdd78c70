"""Read a snapshot of a task and its output after a cursor."""

from __future__ import annotations

import re
from typing import NamedTuple

from django.db import connection

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.ids import MAX_ID
from taskmaster.tasks.models import Task
from taskmaster.tasks.queries.pending_reason import explain_pending
from taskmaster.tasks.store import sync_store as store

#: Maximum amount of text in a frame, in bytes of UTF-8.
FRAME_MAX = 65_536
_ROWS = 500
_LEASE_MAX = 2**63 - 1
_CURSOR = re.compile(r"(\d{1,19})-(\d{1,10})-(\d{1,10})", re.ASCII)


class Cursor(NamedTuple):
    """Mark a position: after the first `offset` characters of a chunk and all earlier chunks."""

    lease: int
    seq: int
    offset: int

    @classmethod
    def parse(cls, field: str, text: object) -> Cursor:
        """Parse the cursor in a field of a frame or query. Raises InvalidField."""
        found = _CURSOR.fullmatch(text) if isinstance(text, str) else None
        numbers = [int(each) for each in found.groups()] if found else []
        if not numbers or numbers[0] > _LEASE_MAX or max(numbers[1:]) >= 2**31:
            raise InvalidField(field, "must be the cursor of a frame.")
        return cls(*numbers)

    def __str__(self) -> str:
        return f"{self.lease}-{self.seq}-{self.offset}"


START = Cursor(0, 0, 0)


class OutputPiece(NamedTuple):
    """Hold a part of an output chunk, and the cursor after it."""

    stream: str
    text: str
    until: Cursor


class ConsoleSnapshot(NamedTuple):
    """Hold a snapshot of a task with the next output of the shown attempt."""

    status: str
    #: Why the task is not running. Determined only when the status has changed, otherwise None.
    reason: str | None
    #: Number of the newest attempt.
    attempt: int
    lease: int
    worker: str
    #: The attempt whose output `pieces` contains, and its worker.
    shown: int
    shown_worker: str
    pieces: list[OutputPiece]


def read_snapshot(
    task_id: int, attempt: int | None, cursor: Cursor, *, status: str | None, with_output: bool
) -> ConsoleSnapshot | None:
    """Return a snapshot, or None if the task does not exist.

    `attempt` selects the output; None selects the newest attempt. `status` is the status that the
    reader already has. `with_output` is whether to read output.

    Blocks, and closes its database connection.
    """
    if task_id > MAX_ID:
        return None
    try:
        # Read the task before its output: the output of an ended attempt is then complete.
        task = Task.objects.defer("args", "kwargs", "result").filter(pk=task_id).first()
        if task is None:
            return None
        shown = task.attempt if attempt is None else attempt
        return ConsoleSnapshot(
            status=task.status,
            reason=explain_pending(task) if task.status != status else None,
            attempt=task.attempt,
            lease=task.lease,
            worker=task.worker,
            shown=shown,
            shown_worker=task.worker if shown == task.attempt else _worker(task, shown),
            pieces=_pieces(task_id, shown, cursor) if with_output and shown else [],
        )
    finally:
        connection.close()


def _worker(task: Task, attempt: int) -> str:
    names = [error.get("worker") for error in task.errors if error.get("attempt") == attempt]
    return names[-1] or "" if names else ""


def _pieces(task_id: int, attempt: int, cursor: Cursor) -> list[OutputPiece]:
    """Return the next output, up to the size of a frame."""
    rows = store.read_output(
        task_id, attempt, **cursor._asdict(), max_bytes=FRAME_MAX, max_rows=_ROWS
    )
    pieces: list[OutputPiece] = []
    left = FRAME_MAX
    for lease, seq, stream, skipped, text in rows:
        fitting = _cut(text, left)
        if fitting:
            pieces.append(OutputPiece(stream, fitting, Cursor(lease, seq, skipped + len(fitting))))
            left -= len(fitting.encode())
        if len(fitting) < len(text):
            break
    return pieces


def _cut(text: str, size: int) -> str:
    """Return the longest start of the text that fits into `size` bytes of UTF-8."""
    if len(text) * 4 <= size:
        return text
    return text.encode()[:size].decode(errors="ignore")
