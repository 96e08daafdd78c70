"""What a console has shown, and what it shows next. No input and no output: frames from looks."""

from __future__ import annotations

from collections import deque
from itertools import groupby
from typing import Any

from taskmaster_site.console.cursor import START, Cursor
from taskmaster_site.console.look import Piece, Seen
from tasks.errors import InvalidField
from tasks.lifecycle import FINISHED, Status

#: So many frames of output may be on their way without the reader's having shown them.
UNSHOWN_MAX = 4

Frame = dict[str, Any]
#: The statuses in which the newest attempt is the one that the lease was for.
_EXECUTED = frozenset({Status.STARTED, Status.COMPLETE, Status.FAILED})


class Tail:
    """Follows one attempt, and those that begin after it."""

    def __init__(self, attempt: int | None, after: Cursor) -> None:
        #: Which attempt is shown; None for the newest of the first look.
        self.attempt = attempt
        self.cursor = after
        self.status: str | None = None
        #: Whether there may be more at once.
        self.hungry = True
        #: The newest attempt that was there or was shown: what comes after it is followed.
        self._newest: int | None = None
        self._announced = False
        self._lease: int | None = None
        self._ended = False
        self._unshown: deque[Cursor] = deque()

    @property
    def room(self) -> bool:
        """Whether the reader may get more output."""
        return len(self._unshown) < UNSHOWN_MAX

    def shown(self, cursor: Cursor) -> None:
        """The reader has shown everything up to here. Raises InvalidField."""
        if cursor not in self._unshown:
            raise InvalidField("cursor", "is of no frame that waits to be acknowledged.")
        while self._unshown.popleft() != cursor:
            pass
        self.hungry = True

    def take(self, seen: Seen, *, room: bool) -> list[Frame]:
        """The frames that a look gives; `room`: whether output was asked for.

        Raises InvalidField at the first look when there is no such attempt.
        """
        self._begin(seen)
        self.hungry = False
        frames: list[Frame] = []
        if seen.status != self.status:
            self.status = seen.status
            frames.append({"type": "status", "status": seen.status, "reason": seen.reason})
        self._announce(seen, frames)
        if seen.pieces:
            frames.append(self._output(seen.pieces))
        elif room:
            self._end(seen, frames)
        return frames

    def _begin(self, seen: Seen) -> None:
        if self._newest is not None:
            return
        if seen.shown > seen.attempt:
            raise InvalidField("attempt", f"is {seen.shown}; the newest is {seen.attempt}.")
        self._newest, self.attempt = seen.attempt, seen.shown

    def _announce(self, seen: Seen, frames: list[Frame]) -> None:
        """Says which attempt it is, and again when one that was handed back is begun anew."""
        newest = seen.attempt == self.attempt
        anew = newest and seen.status in _EXECUTED and seen.lease != self._lease
        if not self.attempt or (self._announced and not anew):
            return
        self._announced, self._ended = True, False
        if newest and seen.status in _EXECUTED:
            self._lease = seen.lease
        frames.append(
            {
                "type": "attempt",
                "attempt": self.attempt,
                "worker": seen.shown_worker,
                "status": _fate(seen) if newest else Status.FAILED.value,
            }
        )

    def _output(self, pieces: list[Piece]) -> Frame:
        self.cursor = pieces[-1].until
        self._unshown.append(self.cursor)
        # What comes after the end, the last words of a cancelled attempt, has an end again.
        self._ended, self.hungry = False, True
        chunks = [
            {"stream": stream, "text": "".join(piece.text for piece in group)}
            for stream, group in groupby(pieces, key=lambda piece: piece.stream)
        ]
        return {"type": "output", "cursor": str(self.cursor), "chunks": chunks}

    def _end(self, seen: Seen, frames: list[Frame]) -> None:
        """Everything was sent so far."""
        if self.attempt == seen.attempt and seen.status == Status.STARTED:
            return
        if not self._ended and (self.attempt or seen.status in FINISHED):
            self._ended = True
            frames.append({"type": "end"})
        assert self._newest is not None
        if seen.attempt > self._newest:
            self._newest += 1
            self.attempt, self.cursor = self._newest, START
            self._announced = self._ended = False
            self.hungry = True


def _fate(seen: Seen) -> str:
    """Of the newest attempt; where the task waits for another one, this one came to nothing."""
    waits = seen.status not in _EXECUTED and seen.status != Status.CANCELLED
    return Status.FAILED.value if waits else seen.status
