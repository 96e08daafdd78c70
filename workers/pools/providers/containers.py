"""What the containers of Compose and of Kubernetes have in common."""

from __future__ import annotations

_SIGNALLED = 128
_SIGNALS = 64


def exit_code(code: int) -> int:
    """A container says 128 and the number of a signal; everybody else here says minus it."""
    return _SIGNALLED - code if _SIGNALLED < code <= _SIGNALLED + _SIGNALS else code
