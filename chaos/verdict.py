"""What became of the tasks: pure functions from what was kept to the counts of a run.

Everything runs on one machine, so that the times of PostgreSQL and of the executions are of one
clock and can be compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from chaos.ledger import Execution
from chaos.load import Plan, Submission
from chaos.records import Change, Row
from tasks.lifecycle import FINISHED, LEGAL, Status

_SHELL = "shell"


@dataclass(frozen=True, slots=True)
class Guilt:
    """One thing that must not be. `task_id` is 0 for a task that is not there."""

    task_id: int
    key: str
    what: str


@dataclass(slots=True)
class Verdict:
    """The counts. Each list must be empty."""

    submitted: int = 0
    completed: int = 0
    failed_as_planned: int = 0
    lost: list[Guilt] = field(default_factory=list)
    stuck: list[Guilt] = field(default_factory=list)
    completed_twice: list[Guilt] = field(default_factory=list)
    stale_completed: list[Guilt] = field(default_factory=list)
    illegal_transitions: list[Guilt] = field(default_factory=list)

    @property
    def guilty(self) -> dict[str, list[Guilt]]:
        """The lists by their names."""
        return {
            "lost": self.lost,
            "stuck": self.stuck,
            "completed_twice": self.completed_twice,
            "stale_completed": self.stale_completed,
            "illegal_transitions": self.illegal_transitions,
        }


def judge(
    submissions: Mapping[str, Submission],
    rows: Iterable[Row],
    history: Mapping[int, Sequence[Change]],
    executions: Iterable[Execution],
) -> Verdict:
    """The verdict. What was submitted and neither acknowledged nor stored does not count."""
    verdict = Verdict()
    stored: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        stored[row.key].append(row)
    ran: dict[str, list[Execution]] = defaultdict(list)
    for execution in executions:
        ran[execution.key].append(execution)
    for submission in submissions.values():
        mine = stored[submission.key]
        if not mine and not submission.acknowledged:
            continue
        verdict.submitted += 1
        if not mine:
            verdict.lost.append(Guilt(0, submission.key, "acknowledged, and not stored"))
        if len(mine) > 1:
            verdict.completed_twice.append(Guilt(mine[0].id, submission.key, "stored twice"))
        for row in mine:
            changes = history.get(row.id, ())
            _judge_end(verdict, submission, row, ran[submission.key])
            _judge_changes(verdict, row, changes)
            _judge_completion(verdict, row, changes, ran[submission.key])
    return verdict


def _judge_end(
    verdict: Verdict, submission: Submission, row: Row, ran: Sequence[Execution]
) -> None:
    """Whether it ended, and as planned."""

    def lost(what: str) -> None:
        verdict.lost.append(Guilt(row.id, row.key, what))

    if Status(row.status) not in FINISHED:
        what = f"{row.status}, lease {row.lease}, attempt {row.attempt}"
        verdict.stuck.append(Guilt(row.id, row.key, what))
    elif submission.plan == Plan.COMPLETES:
        if row.status != Status.COMPLETE:
            lost(f"{row.status} after {row.attempt} attempts, and nothing in it fails")
        elif not any(_made(each, row) for each in ran):
            lost("complete, and no execution has returned this result")
        else:
            verdict.completed += 1
    elif row.status == Status.FAILED:
        verdict.failed_as_planned += 1
    else:
        lost(f"{row.status}, and it can only fail")


def _made(execution: Execution, row: Row) -> bool:
    """Whether this execution's result is the row's; a shell command's result names none."""
    return execution.returned and (row.name == _SHELL or execution.token == row.result)


def _judge_changes(verdict: Verdict, row: Row, changes: Sequence[Change]) -> None:
    """Each change against the table of legal ones; leases only grow; one way into `complete`."""

    def illegal(what: str) -> None:
        verdict.illegal_transitions.append(Guilt(row.id, row.key, what))

    status, lease, completions = Status.PENDING.value, 0, 0
    for change in changes:
        old, new = change.old_status, change.new_status
        if (old, change.old_lease) != (status, lease):
            illegal(f"was {status} under lease {lease}, then {old} under {change.old_lease}")
        status, lease = new, change.new_lease
        # Another coordinator, or a start told twice, is no change of either.
        if (old, change.old_lease) != (new, lease) and not _legal(old, new):
            illegal(f"{old} → {new} under lease {lease}")
        if change.new_lease < change.old_lease:
            illegal(f"lease {change.old_lease} → {change.new_lease}")
        if (old != new and new == Status.PICKED) and change.new_lease <= change.old_lease:
            illegal(f"claimed without a new lease: {change.new_lease}")
        completions += old != new and new == Status.COMPLETE
    if (status, lease) != (row.status, row.lease):
        illegal(f"{row.status} under lease {row.lease}, and its history ends {status}, {lease}")
    if completions > 1:
        verdict.completed_twice.append(
            Guilt(row.id, row.key, f"went {completions} times into complete")
        )


def _legal(old: str, new: str) -> bool:
    return any(Status(new) in ways for ways in LEGAL[Status(old)].values())


def _judge_completion(
    verdict: Verdict, row: Row, changes: Sequence[Change], ran: Sequence[Execution]
) -> None:
    """The execution whose result was recorded must be one of the lease that was completed.

    It began after that lease was claimed: one of an older lease began before.
    """
    claimed, newest = 0.0, 0
    for change in changes:
        if change.new_status == Status.PICKED and change.old_status != Status.PICKED:
            claimed = change.at
        newest = max(newest, change.new_lease)
        if change.new_status != Status.COMPLETE or change.old_status == Status.COMPLETE:
            continue
        if change.new_lease < newest:
            what = f"under lease {change.new_lease}, and {newest} was the newest"
            verdict.stale_completed.append(Guilt(row.id, row.key, what))
            continue
        makers = [each for each in ran if _made(each, row)]
        if makers and all(each.began < claimed for each in makers):
            what = (
                f"under lease {change.new_lease}, by an execution that began "
                f"{claimed - makers[-1].began:.3f} s before that lease was claimed"
            )
            verdict.stale_completed.append(Guilt(row.id, row.key, what))
