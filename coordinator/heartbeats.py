"""Heartbeats on their way to the database and back, and workers that have none any more."""

from __future__ import annotations

import asyncio
from typing import NamedTuple
from uuid import UUID

from tasks.reports import Lease
from workers.store import Beat


class Written(NamedTuple):
    """What became of a batch of heartbeats."""

    #: Whether the database took it.
    durable: bool
    #: What of all that was named is live; all of it when nobody knows.
    live: set[Lease]
    #: Whom an operator wants to drain.
    draining: set[UUID]


class Answer(NamedTuple):
    """What a worker is told."""

    durable: bool
    stale: list[Lease]
    drain: bool


class Heartbeat(NamedTuple):
    """A heartbeat that waits to be written, and the call that waits for its answer."""

    beat: Beat
    #: What the worker says it has.
    running: set[Lease]
    answer: asyncio.Future[Written]


class Loss(NamedTuple):
    """A worker that is gone: when to rescue what it ran (seconds of the clock)."""

    name: str
    rescue_at: float
    #: When it is sure that it has stopped what it stops without contact.
    stoppable_at: float
    rescued: bool = False
