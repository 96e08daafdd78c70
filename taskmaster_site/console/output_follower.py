"""Convert snapshots of a task into frames and track which were acknowledged. Performs no I/O."""

from __future__ import annotations

from collections import deque
from itertools import groupby
from typing import Any

from taskmaster.taskmaster_site.console.snapshot import (
    START,
    ConsoleSnapshot,
    Cursor,
    OutputPiece,
)
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.lifecycle import FINISHED, Status

#: Maximum number of output frames that the reader has not acknowledged.
UNACKNOWLEDGED_MAX = 4

Frame = dict[str, Any]
#: Statuses in which the task's lease belongs to its newest attempt.
_EXECUTED = frozenset({Status.STARTED, Status.COMPLETE, Status.FAILED})


class OutputFollower:
    """Follow one attempt and the attempts that start after it."""

    def __init__(self, attempt: int | None, after: Cursor) -> None:
        #: The attempt that is shown; None until the first snapshot selects the newest.
        self.attempt = attempt
        self.cursor = after
        self.status: str | None = None
        #: Whether more output may be available now.
        self.has_more = True
        #: The newest attempt at the first snapshot, or shown since. Later attempts are followed.
        self._newest: int | None = None
        self._attempt_sent = False
        self._lease: int | None = None
        self._ended = False
        self._unacknowledged: deque[Cursor] = deque()

    @property
    def has_capacity(self) -> bool:
        """Return whether the reader may receive more output."""
        return len(self._unacknowledged) < UNACKNOWLEDGED_MAX

    def acknowledge(self, cursor: Cursor) -> None:
        """Acknowledge all output up to this cursor. Raises InvalidField for an unknown cursor."""
        if cursor not in self._unacknowledged:
            raise InvalidField("cursor", "names no frame that waits for an acknowledgement.")
        while self._unacknowledged.popleft() != cursor:
            pass
        self.has_more = True

    def frames(self, snapshot: ConsoleSnapshot, *, with_output: bool) -> list[Frame]:
        """Return the frames for a snapshot. `with_output` is whether output was read for it.

        Raises InvalidField at the first snapshot if the attempt does not exist.
        """
        self._select_attempt(snapshot)
        self.has_more = False
        frames: list[Frame] = []
        if snapshot.status != self.status:
            self.status = snapshot.status
            frames.append({"type": "status", "status": snapshot.status, "reason": snapshot.reason})
        self._add_attempt(snapshot, frames)
        if snapshot.pieces:
            frames.append(self._output_frame(snapshot.pieces))
        elif with_output:
            self._add_end(snapshot, frames)
        return frames

    def _select_attempt(self, snapshot: ConsoleSnapshot) -> None:
        if self._newest is not None:
            return
        if snapshot.shown > snapshot.attempt:
            raise InvalidField("attempt", f"is {snapshot.shown}; the newest is {snapshot.attempt}.")
        self._newest, self.attempt = snapshot.attempt, snapshot.shown

    def _add_attempt(self, snapshot: ConsoleSnapshot, frames: list[Frame]) -> None:
        """Add a frame that names the attempt.

        If an attempt was handed back and started again under a new lease, add another frame.
        """
        newest = snapshot.attempt == self.attempt
        restarted = newest and snapshot.status in _EXECUTED and snapshot.lease != self._lease
        if not self.attempt or (self._attempt_sent and not restarted):
            return
        self._attempt_sent, self._ended = True, False
        if newest and snapshot.status in _EXECUTED:
            self._lease = snapshot.lease
        frames.append(
            {
                "type": "attempt",
                "attempt": self.attempt,
                "worker": snapshot.shown_worker,
                "status": _attempt_status(snapshot) if newest else Status.FAILED.value,
            }
        )

    def _output_frame(self, pieces: list[OutputPiece]) -> Frame:
        self.cursor = pieces[-1].until
        self._unacknowledged.append(self.cursor)
        # A cancelled attempt may print after its end frame; the end frame is then sent again.
        self._ended, self.has_more = False, True
        chunks = [
            {"stream": stream, "text": "".join(piece.text for piece in group)}
            for stream, group in groupby(pieces, key=lambda piece: piece.stream)
        ]
        return {"type": "output", "cursor": str(self.cursor), "chunks": chunks}

    def _add_end(self, snapshot: ConsoleSnapshot, frames: list[Frame]) -> None:
        """Add an end frame if the attempt has ended, and continue with the next attempt.

        Called when all available output has been sent.
        """
        if self.attempt == snapshot.attempt and snapshot.status == Status.STARTED:
            return
        if not self._ended and (self.attempt or snapshot.status in FINISHED):
            self._ended = True
            frames.append({"type": "end"})
        assert self._newest is not None
        if snapshot.attempt > self._newest:
            self._newest += 1
            self.attempt, self.cursor = self._newest, START
            self._attempt_sent = self._ended = False
            self.has_more = True


def _attempt_status(snapshot: ConsoleSnapshot) -> str:
    """Return the status of the newest attempt: failed if the task waits for another attempt."""
    waits = snapshot.status not in _EXECUTED and snapshot.status != Status.CANCELLED
    return Status.FAILED.value if waits else snapshot.status
