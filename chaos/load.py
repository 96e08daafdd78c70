"""The steady load of a run: what is submitted, in which way, and what is to become of it."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Any

import psycopg

from chaos import ledger

log = logging.getLogger(__name__)

_BULK_EVERY_S = 0.5
#: This part comes by REST, one task a request.
_REST_PART = 0.2
_REST_AT_ONCE = 4
_REST_TIMEOUT_S = 10.0
_LATER_PART = 0.25
_LATER_MAX_S = 20.0
#: So many that no run of faults uses them up: what ends failed has lost work.
_ATTEMPTS = 50
_FAILING_ATTEMPTS = 2
_TIMEOUT_S = 1.0


class Plan(StrEnum):
    """What is to become of a task."""

    COMPLETES = "completes"
    RAISES = "raises"
    TIMES_OUT = "times out"


@dataclass(slots=True)
class Submission:
    """What was submitted under a key."""

    key: str
    plan: Plan
    fields: dict[str, Any]
    #: TaskMaster has said that it is stored.
    acknowledged: bool = False

    @property
    def attempts(self) -> int:
        """How many executions are planned when nothing goes wrong."""
        return 1 if self.plan == Plan.COMPLETES else _FAILING_ATTEMPTS


#: (weight, plan, name, shortest and longest s)
_MIX: tuple[tuple[int, Plan, str, float, float], ...] = (
    (35, Plan.COMPLETES, "work", 0.001, 0.05),
    (4, Plan.COMPLETES, "work", 0.5, 4.0),
    # Long enough to run again while a frozen worker comes back with the first result.
    (1, Plan.COMPLETES, "work", 4.0, 10.0),
    (10, Plan.COMPLETES, "compute", 0.001, 0.02),
    (25, Plan.COMPLETES, "wait", 0.001, 0.3),
    (4, Plan.COMPLETES, "wait", 0.5, 4.0),
    (1, Plan.COMPLETES, "wait", 4.0, 10.0),
    (10, Plan.COMPLETES, "shell", 0.01, 1.0),
    (7, Plan.RAISES, "explode", 0.001, 0.2),
    (2, Plan.TIMES_OUT, "overrun", 0, 0),
    (1, Plan.TIMES_OUT, "overrun_blocking", 0, 0),
)


#: Submits, or raises NotTaken.
Way = Callable[[list[Submission]], None]


def make(key: str, random: Random) -> Submission:
    """A submission of the mix."""
    [(_, plan, name, shortest, longest)] = random.choices(_MIX, [each[0] for each in _MIX])
    seconds = round(random.uniform(shortest, longest), 4)
    fields: dict[str, Any] = {"tags": [key]}
    if name == "shell":
        fields |= {"name": name, "kwargs": {"command": ledger.shell(key, f"sleep {seconds}")}}
    else:
        args = [key] if plan == Plan.TIMES_OUT else [key, seconds]
        fields |= {"name": f"chaos.tasks.{name}", "args": args}
    fields["max_attempts"] = _ATTEMPTS if plan == Plan.COMPLETES else _FAILING_ATTEMPTS
    if plan == Plan.TIMES_OUT:
        fields["timeout_s"] = _TIMEOUT_S
    if random.random() < _LATER_PART:
        later = timedelta(seconds=random.uniform(0, _LATER_MAX_S))
        fields["scheduled_at"] = (datetime.now(UTC) + later).isoformat()
    return Submission(key, plan, fields)


@dataclass(slots=True)
class Load:
    """Submits for so many seconds."""

    random: Random
    rate: float
    web: int
    token: str
    submissions: dict[str, Submission] = field(default_factory=dict)
    #: Submissions that were refused, or whose answer was lost.
    unanswered: int = 0
    #: The longest that anybody waited for an answer.
    slowest_s: float = 0.0
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def acknowledged(self) -> int:
        """How many TaskMaster has taken."""
        return len(self.submissions) - self.unanswered

    async def run(self, seconds: float) -> None:
        """Returns when the last submission is answered."""
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            group.create_task(self._python(until), name="bulk")
            for _ in range(_REST_AT_ONCE):
                group.create_task(self._rest(until), name="rest")

    async def _python(self, until: float) -> None:
        while (now := time.monotonic()) < until:
            count = round(self.rate * (1 - _REST_PART) * _BULK_EVERY_S)
            await self._submit([self._make() for _ in range(max(1, count))], _bulk)
            await asyncio.sleep(max(0.0, now + _BULK_EVERY_S - time.monotonic()))

    async def _rest(self, until: float) -> None:
        every_s = _REST_AT_ONCE / (self.rate * _REST_PART)
        while (now := time.monotonic()) < until:
            await self._submit([self._make()], self._post)
            await asyncio.sleep(max(0.0, now + every_s - time.monotonic()))

    def _make(self) -> Submission:
        made = make(f"k{next(self._numbers)}", self.random)
        self.submissions[made.key] = made
        return made

    async def _submit(self, made: list[Submission], way: Way) -> None:
        before = time.monotonic()
        try:
            await asyncio.to_thread(way, made)
        except NotTaken as error:
            log.debug("not taken: %s", error)
            self.unanswered += len(made)
            return
        finally:
            self.slowest_s = max(self.slowest_s, time.monotonic() - before)
        for each in made:
            each.acknowledged = True

    def _post(self, made: list[Submission]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.web, timeout=_REST_TIMEOUT_S)
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/json"}
        try:
            connection.request("POST", "/api/tasks/", json.dumps(made[0].fields), headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise NotTaken(f"web: {error!r}") from None
        finally:
            connection.close()
        if 400 <= answer.status < 500 and '"field":"scheduled_at"' not in text:
            raise AssertionError(f"the load is wrong: {answer.status} {text}")
        # A time may have passed while the web waited for the database.
        if answer.status != 201:
            raise NotTaken(f"web: {answer.status} {text[:200]}")


class NotTaken(Exception):
    """A submission was refused, or nobody knows: a fault came between."""


def _bulk(made: list[Submission]) -> None:
    from django.db import Error, connections

    from tasks import submission
    from tasks.enqueue import bulk

    try:
        bulk(submission.parse(each.fields) for each in made)
    # A connection that breaks during COPY raises psycopg's own error.
    except (Error, psycopg.Error) as error:
        raise NotTaken(f"bulk: {error!r}") from None
    finally:
        connections.close_all()
