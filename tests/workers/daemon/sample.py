"""Create an attempt in one line."""

from __future__ import annotations

import itertools
from typing import Any

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.workers.daemon.attempt import Attempt

_ids = itertools.count(1)


def an_attempt(task_id: int = 1, lease: int = 1, **fields: Any) -> Attempt:
    """Return an attempt that was just offered. `fields` are those of the offer."""
    values = {"name": "some.task", "queue": "default", **fields}
    offer = pb.Offer(task_id=task_id, lease=lease, attempt=1, **values)
    return Attempt.from_offer(next(_ids), offer, 0.0)
