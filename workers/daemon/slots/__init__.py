"""Define the interface of the slots in which attempts run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from taskmaster.workers.daemon.attempt import Attempt, Ending

if TYPE_CHECKING:
    from taskmaster.workers.daemon.slots.child import ChildConnection

#: Called when an attempt has ended and its output has been read.
OnEnd = Callable[[Attempt, Ending], None]
#: Called with output of an attempt: (attempt, stream, bytes or text). Returns True when the output
#: exceeds its cap, so that it may be read slowly.
OnOutput = Callable[[Attempt, str, "bytes | str"], bool]


class Slots(Protocol):
    """Run attempts in one kind of child.

    Exactly one `OnEnd` call follows each `begin`, unless the supervisor has abandoned the attempt.
    """

    def open(self) -> None:
        """Start the children that are kept ready."""

    def begin(self, attempt: Attempt) -> None:
        """Hand an attempt over."""

    def flush(self) -> None:
        """Send the attempts that `begin` has gathered."""

    def stop(self, attempt: Attempt, grace_s: float) -> None:
        """Stop an attempt: with a soft signal first, by force after the grace.

        Its end is passed to `OnEnd` like any other.
        """

    def close(self) -> None:
        """Start no replacements from now on, because the worker stops."""


class PythonSlots(Slots, Protocol):
    """Run attempts in children that execute many attempts."""

    @property
    def children(self) -> Iterable[ChildConnection]:
        """Return the children that accept new attempts, now or when they are free."""

    def recycle(self, child: ChildConnection) -> None:
        """Replace a child.

        A fresh child takes over now. The old one ends when its attempts have ended.
        """
