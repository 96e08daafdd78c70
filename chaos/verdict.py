"""Judge the tasks of a run: pure functions from the records to the counts.

Everything runs on one machine, so that the times of PostgreSQL and of the executions come from one
clock and can be compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from chaos.ledger import Execution
from chaos.load import PlannedOutcome, Submission
from chaos.records import TaskRow, TaskTransition
from taskmaster.tasks.lifecycle import FINISHED, LEGAL, Status

_SHELL = "shell"


@dataclass(frozen=True, slots=True)
class Violation:
    """Hold one violation of a guarantee. `task_id` is 0 for a task that is not stored."""

    task_id: int
    key: str
    what: str


@dataclass(slots=True)
class Verdict:
    """Hold the counts and the violations. Each list must be empty."""

    submitted: int = 0
    completed: int = 0
    failed_as_planned: int = 0
    lost: list[Violation] = field(default_factory=list)
    stuck: list[Violation] = field(default_factory=list)
    completed_twice: list[Violation] = field(default_factory=list)
    stale_completed: list[Violation] = field(default_factory=list)
    illegal_transitions: list[Violation] = field(default_factory=list)

    @property
    def violations(self) -> dict[str, list[Violation]]:
        """Return the lists by name."""
        return {
            "lost": self.lost,
            "stuck": self.stuck,
            "completed_twice": self.completed_twice,
            "stale_completed": self.stale_completed,
            "illegal_transitions": self.illegal_transitions,
        }


def judge(
    submissions: Mapping[str, Submission],
    rows: Iterable[TaskRow],
    history: Mapping[int, Sequence[TaskTransition]],
    executions: Iterable[Execution],
) -> Verdict:
    """Return the verdict. Submissions neither acknowledged nor stored do not count."""
    verdict = Verdict()
    stored: dict[str, list[TaskRow]] = defaultdict(list)
    for row in rows:
        stored[row.key].append(row)
    ran: dict[str, list[Execution]] = defaultdict(list)
    for execution in executions:
        ran[execution.key].append(execution)
    for submission in submissions.values():
        own = stored[submission.key]
        if not own and not submission.acknowledged:
            continue
        verdict.submitted += 1
        if not own:
            verdict.lost.append(Violation(0, submission.key, "acknowledged but not stored"))
        if len(own) > 1:
            verdict.completed_twice.append(Violation(own[0].id, submission.key, "stored twice"))
        for row in own:
            changes = history.get(row.id, ())
            _judge_end(verdict, submission, row, ran[submission.key])
            _judge_changes(verdict, row, changes)
            _judge_completion(verdict, row, changes, ran[submission.key])
    return verdict


def _judge_end(
    verdict: Verdict, submission: Submission, row: TaskRow, ran: Sequence[Execution]
) -> None:
    """Check that the task ended, and as planned."""

    def lost(what: str) -> None:
        verdict.lost.append(Violation(row.id, row.key, what))

    if Status(row.status) not in FINISHED:
        what = f"{row.status}, lease {row.lease}, attempt {row.attempt}"
        verdict.stuck.append(Violation(row.id, row.key, what))
    elif submission.plan == PlannedOutcome.COMPLETES:
        if row.status != Status.COMPLETE:
            lost(f"{row.status} after {row.attempt} attempts, although the task cannot fail")
        elif not any(_produced(each, row) for each in ran):
            lost("complete, but no execution returned this result")
        else:
            verdict.completed += 1
    elif row.status == Status.FAILED:
        verdict.failed_as_planned += 1
    else:
        lost(f"{row.status}, although the task can only fail")


def _produced(execution: Execution, row: TaskRow) -> bool:
    """Return whether the row's result is of this execution; shell results have no token."""
    return execution.returned and (row.name == _SHELL or execution.token == row.result)


def _judge_changes(verdict: Verdict, row: TaskRow, changes: Sequence[TaskTransition]) -> None:
    """Check each change: it is legal, leases only grow, and `complete` is entered once."""

    def illegal(what: str) -> None:
        verdict.illegal_transitions.append(Violation(row.id, row.key, what))

    status, lease, completions = Status.PENDING.value, 0, 0
    for change in changes:
        old, new = change.old_status, change.new_status
        if (old, change.old_lease) != (status, lease):
            illegal(f"was {status} under lease {lease}, then {old} under {change.old_lease}")
        status, lease = new, change.new_lease
        # A new coordinator, or a start reported twice, changes neither status nor lease.
        if (old, change.old_lease) != (new, lease) and not _legal(old, new):
            illegal(f"{old} → {new} under lease {lease}")
        if change.new_lease < change.old_lease:
            illegal(f"lease {change.old_lease} → {change.new_lease}")
        if (old != new and new == Status.PICKED) and change.new_lease <= change.old_lease:
            illegal(f"claimed without a new lease: {change.new_lease}")
        completions += old != new and new == Status.COMPLETE
    if (status, lease) != (row.status, row.lease):
        illegal(
            f"{row.status} under lease {row.lease}, but the history ends: {status} under {lease}"
        )
    if completions > 1:
        verdict.completed_twice.append(Violation(row.id, row.key, f"completed {completions} times"))


def _legal(old: str, new: str) -> bool:
    return any(Status(new) in ways for ways in LEGAL[Status(old)].values())


def _judge_completion(
    verdict: Verdict, row: TaskRow, changes: Sequence[TaskTransition], ran: Sequence[Execution]
) -> None:
    """Check that the execution of the recorded result belongs to the completed lease.

    It started after that lease was claimed. An execution of an older lease started before.
    """
    claimed, newest = 0.0, 0
    for change in changes:
        if change.new_status == Status.PICKED and change.old_status != Status.PICKED:
            claimed = change.at
        newest = max(newest, change.new_lease)
        if change.new_status != Status.COMPLETE or change.old_status == Status.COMPLETE:
            continue
        if change.new_lease < newest:
            what = f"under lease {change.new_lease}, but {newest} was the newest"
            verdict.stale_completed.append(Violation(row.id, row.key, what))
            continue
        producers = [each for each in ran if _produced(each, row)]
        if producers and all(each.began < claimed for each in producers):
            what = (
                f"under lease {change.new_lease}, by an execution that started "
                f"{claimed - producers[-1].began:.3f} s before that lease was claimed"
            )
            verdict.stale_completed.append(Violation(row.id, row.key, what))
