"""Keep the state of a child clean that runs several attempts at the same time."""

from __future__ import annotations

import threading
import time

from taskmaster.workers.daemon.child.outbox import ChildOutbox
from taskmaster.workers.daemon.child.slot_state import SlotState
from taskmaster.workers.daemon.messages import StateChanged

#: Seconds between two searches for changes while attempts run. A search makes several system calls,
#: which give way to other threads and cost more than a short task.
_SEARCH_S = 0.005


class SharedState:
    """Restore the state when the child is idle. Else report a change to the supervisor."""

    def __init__(self, state: SlotState, outbox: ChildOutbox) -> None:
        self._state = state
        self._outbox = outbox
        self._running = 0
        self._is_reported = False
        self._searched_at = 0.0
        self._lock = threading.Lock()

    def begin(self, attempts: int = 1) -> None:
        """Count attempts that the child has received."""
        with self._lock:
            self._running += attempts

    def end(self) -> None:
        """Clean up after an attempt, before its end is reported.

        The supervisor then starts no attempt in this child that follows a change. While many
        attempts end at the same time, a change is found within `_SEARCH_S`.
        """
        with self._lock:
            self._running -= 1
            if not self._running:
                self._state.restore()
            elif not self._is_reported and time.monotonic() - self._searched_at >= _SEARCH_S:
                self._search()

    def _search(self) -> None:
        """Report what attempts have changed."""
        if changes := self._state.changes():
            self._is_reported = True
            self._outbox.post(StateChanged(", ".join(changes)))
        self._searched_at = time.monotonic()
