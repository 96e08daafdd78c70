"""Decide which runs a due schedule gets. Nothing here reads the database or a clock.

`plan` takes a schedule, its timing and the time of the database. It returns the runs to be stored,
and the due time that follows. The statement that stores them decides the overlap policies, because
only the database has the state of the earlier runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import NamedTuple

from taskmaster.tasks.messages import NewTask
from taskmaster.tasks.models.schedule import MAX_REASON, RunState
from taskmaster.tasks.schedule_messages import DueSchedule, Plan, PlannedRun
from taskmaster.tasks.schedules.reasons import end_text, rule_text, schedule_pause_text
from taskmaster.tasks.timing.rules import MISSED_AFTER_S, MissedPolicy, OverlapPolicy
from taskmaster.tasks.timing.timing import Timing, jitter

#: A run is missed if it was not created within this time after its start time.
MISSED_AFTER = timedelta(seconds=MISSED_AFTER_S)
#: A run that is created later than this after its start time gets a reason.
LATE_AFTER = timedelta(seconds=1)
#: The due times of a paused schedule are searched and recorded at most once in this time.
PAUSED_STEP = timedelta(seconds=60)
#: A plan must be stored within this time. A coordinator that was stopped in between plans again.
_VALID = timedelta(seconds=10)
#: A gap explains due times from this time before it. The last heartbeat before it is that old.
_GAP_MARGIN = timedelta(seconds=5)
#: Maximum number of due times that one plan reads, and of tasks that it creates. The next plan
#: continues there.
_DUE_TIMES_MAX = 1_000
_TASKS_MAX = 100


class Gap(NamedTuple):
    """Hold a time in which no runs were created, and the sentence that explains it."""

    start: datetime
    end: datetime
    cause: str


class Conditions(NamedTuple):
    """Hold what decides about all schedules of one search."""

    #: How long before their start runs are created, where overlaps are allowed.
    ahead: timedelta
    #: Why everything is paused. Empty: it is not.
    halted: str = ""
    #: The newest gaps, in order.
    gaps: Sequence[Gap] = ()

    def explain(self, run_at: datetime) -> str:
        """Return why no run was created at `run_at`."""
        for gap in reversed(self.gaps):
            if gap.start - _GAP_MARGIN <= run_at <= gap.end:
                return gap.cause
        return "The leading coordinator fell behind."


class Submission(NamedTuple):
    """Hold the task of a run, or why there is none."""

    task: NewTask | None
    #: Why the submission is refused. Empty: it is not.
    refusal: str = ""
    #: Whether the refusal pauses the schedule.
    pauses: bool = False


class _Due(NamedTuple):
    at: datetime
    run_at: datetime


class _Runs:
    """Collect the runs of a plan, and fold those without a task."""

    def __init__(self) -> None:
        self.rows: list[PlannedRun] = []
        self.tasks = 0

    def add_task(self, due: _Due, reason: str) -> None:
        """Add a run that gets a task, if the overlap policy does not forbid that."""
        self.rows.append(PlannedRun(due.at, None, 1, due.run_at, RunState.CREATED, reason, True))
        self.tasks += 1

    def add_reason(self, due: _Due, state: RunState, reason: str) -> None:
        """Add a run without a task."""
        reason = reason[:MAX_REASON]
        if self.rows:
            last = self.rows[-1]
            if not last.starts and (last.state, last.reason) == (state, reason):
                self.rows[-1] = last._replace(due_times=last.due_times + 1, last_due_at=due.at)
                return
        self.rows.append(PlannedRun(due.at, None, 1, due.run_at, state, reason, False))


def plan(
    schedule: DueSchedule,
    timing: Timing,
    submission: Submission,
    now: datetime,
    conditions: Conditions,
) -> Plan:
    """Return the next runs of a schedule.

    If they are not due at `now`, the plan is for the time when they will be.
    """
    halted = schedule_pause_text(schedule) or conditions.halted
    ahead = timedelta(0)
    if schedule.overlap == OverlapPolicy.ALLOW and not halted and not submission.refusal:
        ahead = conditions.ahead
    act_at = schedule.next_run_at - ahead
    now = max(now, act_at)
    runs = _Runs()
    if halted:
        dues, following = _read(schedule, timing, until=now, most=_DUE_TIMES_MAX)
        missed = 0
        for due in dues:
            runs.add_reason(due, RunState.PAUSED, halted)
    else:
        following, missed = _plan_active(schedule, timing, submission, now, ahead, conditions, runs)
    next_run_at = following and following.run_at
    if next_run_at is not None and schedule.paused_at is not None:
        next_run_at = max(next_run_at, now + PAUSED_STEP)
    return Plan(
        schedule,
        task=submission.task,
        act_at=act_at,
        valid_until=now + _VALID,
        runs=tuple(runs.rows),
        next_due_at=following and following.at,
        next_run_at=next_run_at,
        ended_reason="" if following else end_text(schedule),
        pause_reason=submission.refusal if submission.pauses and not halted else "",
        missed=missed,
    )


def plan_end(schedule: DueSchedule, now: datetime, reason: str) -> Plan:
    """Return the plan that refuses the next run of a schedule and ends it for this reason."""
    act_at = schedule.next_run_at
    runs = _Runs()
    runs.add_reason(_Due(schedule.next_due_at, act_at), RunState.REFUSED, reason)
    return Plan(
        schedule,
        task=None,
        act_at=act_at,
        valid_until=max(now, act_at) + _VALID,
        runs=tuple(runs.rows),
        next_due_at=None,
        next_run_at=None,
        ended_reason=reason[:MAX_REASON],
        pause_reason="",
        missed=0,
    )


def _plan_active(
    schedule: DueSchedule,
    timing: Timing,
    submission: Submission,
    now: datetime,
    ahead: timedelta,
    conditions: Conditions,
    runs: _Runs,
) -> tuple[_Due | None, int]:
    """Add the runs of a schedule that is not paused.

    Return the due time that follows, and the number of missed ones.
    """
    left = _TASKS_MAX if schedule.overlap == OverlapPolicy.ALLOW else 1
    remaining = None
    if schedule.max_runs is not None:
        remaining = max(0, schedule.max_runs - schedule.runs_made)
        left = min(left, remaining)
    limit = _made_up_max(schedule)
    dues, following = _read(schedule, timing, until=now + ahead, most=_DUE_TIMES_MAX + limit)
    late = [due for due in dues if due.run_at + MISSED_AFTER < now]
    oldest = now - timedelta(seconds=schedule.catch_up_s)
    candidates = [due for due in late if due.run_at >= oldest]
    if following is not None and len(late) == len(dues) and following.run_at < now - MISSED_AFTER:
        # More missed due times follow. The newest of these may be among those to make up.
        kept = max(1, limit)
        following, dues = dues[-kept], dues[:-kept]
        made_up = set()
    else:
        most = limit if remaining is None else min(limit, remaining)
        made_up = set(candidates[len(candidates) - most :] if most else ())
    missed, late_dues, within = 0, set(late), set(candidates)
    for due in dues:
        if runs.tasks == left:
            # Overlaps are decided one by one. A schedule whose last run was made ends.
            return due, missed
        if due not in late_dues or due in made_up:
            _add_start(runs, due, submission, now, made_up, conditions)
        else:
            state = RunState.MISSED if due in within else RunState.OUTSIDE_WINDOW
            reason = f"{conditions.explain(due.run_at)} {rule_text(schedule, state)}"
            runs.add_reason(due, state, reason)
        missed += due in late_dues
    return following, missed


def _add_start(
    runs: _Runs,
    due: _Due,
    submission: Submission,
    now: datetime,
    made_up: set[_Due],
    conditions: Conditions,
) -> None:
    """Add a run that is due or made up."""
    if submission.refusal:
        runs.add_reason(due, RunState.REFUSED, submission.refusal)
    elif due in made_up:
        runs.add_task(due, f"Made up at {now:%H:%M:%S} UTC. {conditions.explain(due.run_at)}")
    elif due.run_at + LATE_AFTER < now:
        late_s = (now - due.run_at).total_seconds()
        runs.add_task(due, f"Created {late_s:.0f} s late. {conditions.explain(due.run_at)}")
    else:
        runs.add_task(due, "")


def _read(
    schedule: DueSchedule, timing: Timing, *, until: datetime, most: int
) -> tuple[list[_Due], _Due | None]:
    """Return the due times without a run that start up to `until`, and the one that follows.

    Return at most `most` due times. The first one is always among them: the index has its time.
    """
    dues: list[_Due] = []
    first, taken = schedule.next_due_at, set(schedule.taken)
    for at in chain([first], (due.at for due in timing.after(first))):
        if at in taken:
            continue
        run_at = at
        if schedule.jitter_s:
            run_at += jitter(schedule.name, at, schedule.jitter_s)
        due = _Due(at, run_at)
        if dues and (run_at > until or len(dues) == most):
            return dues, due
        dues.append(due)
    return dues, None


def _made_up_max(schedule: DueSchedule) -> int:
    """Return the number of missed runs that the policy makes up."""
    match MissedPolicy(schedule.missed):
        case MissedPolicy.SKIP:
            return 0
        case MissedPolicy.LATEST:
            return 1
        case MissedPolicy.ALL:
            return schedule.missed_max
