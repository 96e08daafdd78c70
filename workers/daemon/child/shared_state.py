"""Keep the state of a child clean that runs several attempts at the same time."""

from __future__ import annotations

import threading
import time

from taskmaster.workers.daemon.child.outbox import ChildOutbox
from taskmaster.workers.daemon.child.slot_state import SlotState
from taskmaster.workers.daemon.messages import StateChanged

#: Searches for changes per second while attempts run, and how many of them may follow each other
#: without a pause. A search makes several system calls, which give way to other threads and cost
#: more than a short task.
_SEARCHES_PER_S = 200
_SEARCH_BURST = 50


class SharedState:
    """Restore the state when the child is idle. Else report a change to the supervisor."""

    def __init__(self, state: SlotState, outbox: ChildOutbox) -> None:
        self._state = state
        self._outbox = outbox
        self._running = 0
        self._is_reported = False
        self._searches_left = float(_SEARCH_BURST)
        self._counted_at = time.monotonic()
        self._lock = threading.Lock()

    def begin(self, attempts: int = 1) -> None:
        """Count attempts that the child has received."""
        with self._lock:
            self._running += attempts

    def end(self) -> None:
        """Clean up after an attempt, before its end is reported.

        The supervisor then starts no attempt in this child that follows a change. While more than
        `_SEARCHES_PER_S` attempts end per second, a change is found a few milliseconds later.
        """
        with self._lock:
            self._running -= 1
            if not self._running:
                self._state.restore()
            elif not self._is_reported and self._may_search():
                self._search()

    def _may_search(self) -> bool:
        """Take one search from the token bucket. Return False if it is empty."""
        now = time.monotonic()
        refilled = self._searches_left + (now - self._counted_at) * _SEARCHES_PER_S
        self._searches_left, self._counted_at = min(refilled, _SEARCH_BURST), now
        if self._searches_left < 1:
            return False
        self._searches_left -= 1
        return True

    def _search(self) -> None:
        """Report what attempts have changed."""
        if changes := self._state.changes():
            self._is_reported = True
            self._outbox.post(StateChanged(", ".join(changes)))
