"""Plan the runs of the schedules that a search has found. It works in a thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import Error as DatabaseError

from taskmaster.tasks.messages import NewTask
from taskmaster.tasks.schedule_messages import DueSchedule, Plan, QueuedRun, ScheduleSearch
from taskmaster.tasks.schedules.owners import find_owners
from taskmaster.tasks.schedules.planning import (
    Conditions,
    Gap,
    Submission,
    plan,
    plan_end,
)
from taskmaster.tasks.schedules.reasons import pause_text
from taskmaster.tasks.schedules.submissions import SubmissionCache

log = logging.getLogger(__name__)

#: Seconds of planning after which the plans are stored. The next search finds the rest.
_PLANNING_S = 0.2


class StartableRun(NamedTuple):
    """Hold a queued run that can start, with its task or the refusal."""

    run: QueuedRun
    task: NewTask | None
    refusal: str


class PlannedBatch(NamedTuple):
    """Hold what is to be stored after a search."""

    plans: list[Plan]
    queued: list[StartableRun]


class SchedulePlanner:
    """Plan runs, and keep what is costly to read from a schedule."""

    def __init__(self, lookahead_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ahead = timedelta(seconds=lookahead_s)
        self._clock = clock
        self._submissions = SubmissionCache()

    def plan_all(self, search: ScheduleSearch, gaps: Sequence[Gap]) -> PlannedBatch:
        """Plan the runs of the schedules that were found, or of some if there is much to do."""
        if not (search.schedules or search.queued):
            return PlannedBatch([], [])
        halted = ""
        if search.halted_at is not None:
            halted = pause_text(
                "All schedules are paused", search.halted_at, search.halted_by, search.halt_reason
            )
        conditions = Conditions(self._ahead, halted, gaps)
        owners = find_owners([*search.schedules, *(run.schedule for run in search.queued)])
        queued = []
        for run in search.queued:
            submission = self._submission(run.schedule, owners)
            queued.append(StartableRun(run, submission.task, submission.refusal))
        plans: list[Plan] = []
        deadline = self._clock() + _PLANNING_S
        for schedule in search.schedules:
            submission = self._submission(schedule, owners)
            plans.append(self._plan(schedule, submission, search, conditions))
            if self._clock() > deadline:
                break
        return PlannedBatch(plans, queued)

    def _submission(self, schedule: DueSchedule, owners: Mapping[Any, Any]) -> Submission:
        """Return the submission of a schedule, or the refusal.

        An error of the project, such as one of its authentication backend, refuses the run. It
        disturbs no other schedule.
        """
        try:
            return self._submissions.submission(schedule, owners)
        except DatabaseError:
            raise
        except Exception as error:
            log.exception(
                "run of a schedule cannot be submitted", extra={"schedule": schedule.name}
            )
            return Submission(None, f"It cannot be submitted: {type(error).__name__}: {error}")

    def _plan(
        self,
        schedule: DueSchedule,
        submission: Submission,
        search: ScheduleSearch,
        conditions: Conditions,
    ) -> Plan:
        """Plan one schedule. One that cannot be computed ends, and disturbs no other."""
        try:
            timing = self._submissions.timing(schedule)
            return plan(schedule, timing, submission, search.now, conditions)
        except Exception as error:
            log.exception("schedule cannot be computed", extra={"schedule": schedule.name})
            reason = f"Its due times cannot be computed: {type(error).__name__}: {error}"
            return plan_end(schedule, search.now, reason)
