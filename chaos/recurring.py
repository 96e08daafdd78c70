"""Create recurring schedules beside the load, and judge their runs at the end.

Every due time until then must have a row, every row with a task exactly one task, and every run
that was created late a reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

#: (interval in seconds, overlap policy)
SCHEDULES = (
    (1, "allow"),
    (2, "allow"),
    (3, "skip"),
    (5, "skip"),
    (3, "queue_one"),
    (5, "queue_one"),
    (4, "cancel_running"),
)
_TASK = "chaos.tasks.recur"
#: A run that is created later than this after its start time needs a reason.
LATE = timedelta(seconds=1.5)


@dataclass(frozen=True, slots=True)
class RunRow:
    """Hold the final row of a run. `created_at` is that of its task."""

    schedule: int
    due_at: datetime
    last_due_at: datetime
    count: int
    run_at: datetime
    state: str
    reason: str
    task_id: int | None
    created_at: datetime | None


@dataclass(slots=True)
class RecurringVerdict:
    """Hold the counts of the runs, and descriptions of what is wrong."""

    due: int = 0
    states: Counter[str] = field(default_factory=Counter)
    late: int = 0
    lost: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    late_unexplained: list[str] = field(default_factory=list)

    @property
    def runs(self) -> int:
        """Return the number of due times that have a row."""
        return sum(self.states.values())

    @property
    def violations(self) -> dict[str, list[str]]:
        """Return the lists by name."""
        return {
            "lost runs": self.lost,
            "duplicate runs": self.duplicates,
            "late runs without a reason": self.late_unexplained,
        }


def create(seconds: float) -> None:
    """Store the schedules. They are due from now on, for this number of seconds."""
    from django.db import connection
    from django.utils import timezone

    from taskmaster.tasks.models import Schedule
    from taskmaster.tasks.store.schedule_changes import notify_schedules

    start = timezone.now().replace(microsecond=0) + timedelta(seconds=2)
    for number, (every_s, overlap) in enumerate(SCHEDULES):
        Schedule.objects.create(
            name=f"chaos-{number}",
            task=_TASK,
            args=[every_s * 0.7],
            max_attempts=50,
            trigger="interval",
            interval_s=every_s,
            anchor=start,
            timezone="UTC",
            ends_at=start + timedelta(seconds=seconds),
            overlap=overlap,
            missed="all",
            missed_max=1_000,
            next_due_at=start,
            next_run_at=start,
        )
    notify_schedules()
    connection.close()


def judge(
    due_times: Mapping[int, Iterable[datetime]],
    rows: Iterable[RunRow],
    tasks: Iterable[tuple[int, int, datetime]],
) -> RecurringVerdict:
    """Return the verdict.

    `due_times` holds the due times of each schedule, and `tasks` the id, schedule and due time of
    each task.
    """
    verdict = RecurringVerdict()
    expected = {(schedule, at) for schedule, dues in due_times.items() for at in dues}
    verdict.due = len(expected)
    covered: Counter[tuple[int, datetime]] = Counter()
    with_task: dict[int, RunRow] = {}
    for row in rows:
        verdict.states[row.state] += row.count
        inside = [
            key for key in expected
            if key[0] == row.schedule and row.due_at <= key[1] <= row.last_due_at
        ]  # fmt: skip
        covered.update(inside)
        if len(inside) != row.count:
            verdict.lost.append(f"{row}: stands for {len(inside)} due times")
        if row.task_id is not None:
            with_task[row.task_id] = row
            _judge_late(verdict, row)
    for key in sorted(expected):
        if covered[key] != 1:
            found = verdict.duplicates if covered[key] else verdict.lost
            found.append(f"schedule {key[0]}, {key[1]}: {covered[key]} rows")
    stored = {task_id: (schedule, at) for task_id, schedule, at in tasks}
    for task_id, key in stored.items():
        if task_id not in with_task:
            verdict.duplicates.append(f"task {task_id} of {key} has no run")
    verdict.lost += [f"{row}: no task" for key, row in with_task.items() if key not in stored]
    return verdict


def _judge_late(verdict: RecurringVerdict, row: RunRow) -> None:
    if row.created_at is not None and row.created_at > row.run_at + LATE:
        verdict.late += 1
        if not row.reason:
            verdict.late_unexplained.append(str(row))


def read() -> RecurringVerdict:
    """Read the rows of the run, and judge them."""
    from taskmaster.tasks.models import Schedule, ScheduleRun, Task
    from taskmaster.tasks.schedules.stored import timing_of

    due_times = {}
    for schedule in Schedule.objects.all():
        assert schedule.anchor is not None
        start = schedule.anchor - timedelta(microseconds=1)
        due_times[schedule.pk] = [due.at for due in timing_of(schedule).after(start)]
    tasks = list(
        Task.objects.filter(schedule__isnull=False).values_list(
            "id", "schedule_id", "scheduled_for", "created_at"
        )
    )
    created = {task_id: created_at for task_id, *_, created_at in tasks}
    rows = [
        RunRow(
            run.schedule_id,
            run.due_at,
            run.last_due_at or run.due_at,
            run.count,
            run.run_at,
            run.state,
            run.reason,
            run.task_id,
            created.get(run.task_id or 0),
        )
        for run in ScheduleRun.objects.all()
    ]
    return judge(
        due_times, rows, [(task_id, owner or 0, at) for task_id, owner, at, _ in tasks if at]
    )
