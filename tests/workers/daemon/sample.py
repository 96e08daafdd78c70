"""An attempt in a line."""

from __future__ import annotations

import itertools

from workers.daemon.attempt import Attempt

_ids = itertools.count(1)


def an_attempt(task_id: int = 1, lease: int = 1) -> Attempt:
    """An attempt that was just offered."""
    return Attempt(
        next(_ids), task_id, lease, 1, "some.task", "", "", 0, "default", 0, 0, False, 0.0
    )
