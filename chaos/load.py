"""Generate the steady load of a run: tasks, ways of submission, and planned outcomes."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Any

import psycopg

from chaos import ledger
from chaos.leftovers import START_DAEMON

log = logging.getLogger(__name__)

_BULK_EVERY_S = 0.5
#: Share of the tasks that are submitted by REST, one task per request.
_REST_SHARE = 0.2
_REST_CONCURRENCY = 4
_REST_TIMEOUT_S = 10.0
_LATER_SHARE = 0.25
_LATER_MAX_S = 20.0
#: More than the faults of any run can use up: a task of the mix that fails has lost work.
_ATTEMPTS = 50
_FAILING_ATTEMPTS = 2
_TIMEOUT_S = 1.0


class PlannedOutcome(StrEnum):
    """Name the planned outcome of a task."""

    COMPLETES = "completes"
    RAISES = "raises"
    TIMES_OUT = "times out"


@dataclass(slots=True)
class Submission:
    """Hold a submission, identified by its key."""

    key: str
    plan: PlannedOutcome
    fields: dict[str, Any]
    #: Whether TaskMaster has confirmed that it is stored.
    acknowledged: bool = False

    @property
    def attempts(self) -> int:
        """Return the planned number of executions without faults."""
        return 1 if self.plan == PlannedOutcome.COMPLETES else _FAILING_ATTEMPTS


#: (weight, plan, name, shortest and longest duration in seconds)
_MIX: tuple[tuple[int, PlannedOutcome, str, float, float], ...] = (
    (35, PlannedOutcome.COMPLETES, "work", 0.001, 0.05),
    (4, PlannedOutcome.COMPLETES, "work", 0.5, 4.0),
    # Long enough to be run again before a frozen worker returns the first result.
    (1, PlannedOutcome.COMPLETES, "work", 4.0, 10.0),
    (10, PlannedOutcome.COMPLETES, "compute", 0.001, 0.02),
    (25, PlannedOutcome.COMPLETES, "wait", 0.001, 0.3),
    (4, PlannedOutcome.COMPLETES, "wait", 0.5, 4.0),
    (1, PlannedOutcome.COMPLETES, "wait", 4.0, 10.0),
    (10, PlannedOutcome.COMPLETES, "shell", 0.01, 1.0),
    (7, PlannedOutcome.RAISES, "explode", 0.001, 0.2),
    (2, PlannedOutcome.TIMES_OUT, "overrun", 0, 0),
    (1, PlannedOutcome.TIMES_OUT, "overrun_blocking", 0, 0),
)


#: Submits, or raises SubmissionFailed.
SubmitFunction = Callable[[list[Submission]], None]


def make(key: str, random: Random) -> Submission:
    """Return a random submission of the mix."""
    [(_, plan, name, shortest, longest)] = random.choices(_MIX, [each[0] for each in _MIX])
    seconds = round(random.uniform(shortest, longest), 4)
    fields: dict[str, Any] = {"tags": [key]}
    if name == "shell":
        fields |= {
            "name": name,
            "kwargs": {"command": ledger.shell(key, f"{START_DAEMON}; sleep {seconds}")},
        }
    else:
        args = [key] if plan == PlannedOutcome.TIMES_OUT else [key, seconds]
        fields |= {"name": f"chaos.tasks.{name}", "args": args}
    fields["max_attempts"] = _ATTEMPTS if plan == PlannedOutcome.COMPLETES else _FAILING_ATTEMPTS
    if plan == PlannedOutcome.TIMES_OUT:
        fields["timeout_s"] = _TIMEOUT_S
    if random.random() < _LATER_SHARE:
        later = timedelta(seconds=random.uniform(0, _LATER_MAX_S))
        fields["scheduled_at"] = (datetime.now(UTC) + later).isoformat()
    return Submission(key, plan, fields)


@dataclass(slots=True)
class LoadGenerator:
    """Submit tasks at a fixed rate."""

    random: Random
    rate: float
    web: int
    token: str
    submissions: dict[str, Submission] = field(default_factory=dict)
    #: Number of submissions that were refused, or whose answer was lost.
    unanswered: int = 0
    #: The longest time until an answer came.
    slowest_s: float = 0.0
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def acknowledged(self) -> int:
        """Return the number of submissions that TaskMaster has confirmed."""
        return len(self.submissions) - self.unanswered

    async def run(self, seconds: float) -> None:
        """Submit for `seconds`. Return when the last submission is answered."""
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            group.create_task(self._python(until), name="bulk")
            for _ in range(_REST_CONCURRENCY):
                group.create_task(self._rest(until), name="rest")

    async def _python(self, until: float) -> None:
        while (now := time.monotonic()) < until:
            count = round(self.rate * (1 - _REST_SHARE) * _BULK_EVERY_S)
            await self._submit([self._make() for _ in range(max(1, count))], _bulk)
            await asyncio.sleep(max(0.0, now + _BULK_EVERY_S - time.monotonic()))

    async def _rest(self, until: float) -> None:
        every_s = _REST_CONCURRENCY / (self.rate * _REST_SHARE)
        while (now := time.monotonic()) < until:
            await self._submit([self._make()], self._post)
            await asyncio.sleep(max(0.0, now + every_s - time.monotonic()))

    def _make(self) -> Submission:
        made = make(f"k{next(self._numbers)}", self.random)
        self.submissions[made.key] = made
        return made

    async def _submit(self, made: list[Submission], submit: SubmitFunction) -> None:
        before = time.monotonic()
        try:
            await asyncio.to_thread(submit, made)
        except SubmissionFailed as error:
            log.debug("submission failed: %s", error)
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
            raise SubmissionFailed(f"web: {error!r}") from None
        finally:
            connection.close()
        if 400 <= answer.status < 500 and '"field":"scheduled_at"' not in text:
            raise AssertionError(f"the load generator sent an invalid task: {answer.status} {text}")
        # `scheduled_at` can pass while the web process waits for the database.
        if answer.status != 201:
            raise SubmissionFailed(f"web: {answer.status} {text[:200]}")


class SubmissionFailed(Exception):
    """Report that a submission was refused, or that its outcome is unknown because of a fault."""


def _bulk(made: list[Submission]) -> None:
    submit_bulk([each.fields for each in made])


def submit_bulk(submissions: Iterable[Mapping[str, object]]) -> None:
    """Store tasks with the fields given. Raise SubmissionFailed if PostgreSQL does not answer."""
    from django.db import Error, connections

    from taskmaster.tasks import submission
    from taskmaster.tasks.enqueue import bulk

    try:
        bulk(submission.parse(fields) for fields in submissions)
    # A connection that breaks during COPY raises psycopg's own error.
    except (Error, psycopg.Error) as error:
        raise SubmissionFailed(f"bulk: {error!r}") from None
    finally:
        connections.close_all()
