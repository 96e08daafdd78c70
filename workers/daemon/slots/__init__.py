"""Where attempts run, each kind behind the same small interface."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from workers.daemon.attempt import Attempt, Broken, Returned

if TYPE_CHECKING:
    from workers.daemon.slots.child import Child

#: An attempt is over; what it printed has been read.
OnEnd = Callable[[Attempt, Returned | Broken], None]
#: An attempt printed something: (attempt, stream, bytes or text). Whether there is no haste in
#: reading on, since more is written than is kept.
OnOutput = Callable[[Attempt, str, "bytes | str"], bool]


class Slots(Protocol):
    """One kind of child.

    Exactly one `OnEnd` follows each `begin`, unless the supervisor gave the attempt up.
    """

    def open(self) -> None:
        """Starts the children that are kept ready."""

    def begin(self, attempt: Attempt) -> None:
        """Hands an attempt over."""

    def flush(self) -> None:
        """Sends what `begin` has gathered."""

    def stop(self, attempt: Attempt, grace_s: float) -> None:
        """Stops an attempt: softly, and by force after the grace. It ends as any other does."""

    def close(self) -> None:
        """No replacements from now on: the worker stops."""


class PythonSlots(Slots, Protocol):
    """Those whose children live for many attempts."""

    @property
    def children(self) -> Iterable[Child]:
        """The children that take new attempts, now or when they are free."""

    def recycle(self, child: Child) -> None:
        """A fresh child takes over now; this one ends when its attempts are over."""
