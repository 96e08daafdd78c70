"""Build the answer of a task's page: the error, the result or the reason, under the title."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.models import Task
from taskmaster.tasks.presentation import traceback_view
from taskmaster.tasks.presentation.traceback_view import Frame, TracebackPart
from taskmaster.tasks.queries.gates import Gate, gates
from taskmaster.tasks.queries.timeline import AttemptRecord, precise

#: Headlines of failures that are no exceptions, by the class of the entry.
_HEADLINES = {
    "timeout": "Timed out",
    "out_of_memory": "Out of memory",
    "lost": "Worker lost",
    "cancelled": "Cancelled",
}
_VERBS = {"raised": "Raised", "timeout": "Stopped", "lost": "Lost", "cancelled": "Stopped"}


@dataclass(frozen=True, slots=True)
class ShownFailure:
    """Describe how an attempt failed."""

    attempt: AttemptRecord
    #: The exception's class, or what happened.
    code: str
    message: str
    #: `Raised after 30.0 s`, without a full stop.
    how: str
    parts: list[TracebackPart] = field(default_factory=list)

    @property
    def frame(self) -> Frame | None:
        """Return the project's frame in which the error occurred."""
        return traceback_view.innermost_own(self.parts)


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold the answer: its colour token, a headline, and what explains it."""

    kind: str
    headline: str
    #: Sentences below the headline.
    facts: list[str] = field(default_factory=list)
    failure: ShownFailure | None = None
    gates: list[Gate] = field(default_factory=list)
    #: The result as stored, indented.
    result: str | None = None


def build_answer(
    task: Task,
    records: Sequence[AttemptRecord],
    *,
    reason: str | None,
    result: str | None,
) -> Answer:
    """Return the answer for the status of the task."""
    failed = [record for record in records if record.error]
    last = failure(failed[-1]) if failed else None
    match Status(task.status):
        case Status.COMPLETE:
            took = records[-1].run_s
            facts = [f"It ran for {precise(took)}."] if took is not None else []
            return Answer("complete", "It returned a result", facts, result=result)
        case Status.FAILED:
            headline = "" if last else "It failed; no error is stored."
            return Answer("failed", headline, _failed_facts(task, failed), last)
        case Status.CANCELLED:
            return Answer("cancelled", _cancelled(records), [], last if _stopped(records) else None)
        case Status.STARTED:
            return Answer("running", f"It is running on {task.worker}.", _running_facts(task), last)
        case _:
            return Answer("pending", reason or "It has not started.", [], last, gates(task))


def failure(record: AttemptRecord) -> ShownFailure:
    """Describe the failure of an attempt that has an entry in `errors`."""
    entry = record.error
    kind = str(entry.get("class", "failed"))
    code = _code(kind, entry)
    message = str(entry.get("message") or "")
    if message.casefold() == code.casefold():
        message = ""
    message = message.removeprefix(f"{code}: ")
    after = f" after {precise(record.run_s)}" if record.run_s is not None else ""
    how = f"{_VERBS.get(kind, 'Ended')}{after}"
    found = traceback_view.parts(
        str(entry.get("traceback") or ""), str(entry.get("exception") or ""), message
    )
    return ShownFailure(record, code, message, how, found)


def _code(kind: str, entry: dict[str, Any]) -> str:
    if exception := str(entry.get("exception") or ""):
        return exception.rpartition(".")[2]
    if kind in _HEADLINES:
        return _HEADLINES[kind]
    label = kind.replace("_", " ").capitalize()
    return f"{label} {entry['code']}" if "code" in entry else label


def _failed_facts(task: Task, failed: Sequence[AttemptRecord]) -> list[str]:
    facts = []
    causes = {(record.error.get("class"), record.error.get("exception")) for record in failed}
    if len(failed) > 1:
        same = "ended like this" if len(causes) == 1 else "failed, for different causes"
        which = "Both" if len(failed) == 2 else f"All {len(failed)}"
        facts.append(f"{which} attempts {same}.")
    left = task.max_attempts - task.attempt
    if left > 0:
        are = "attempt was" if left == 1 else "attempts were"
        facts.append(f"It is not retried, although {left} {are} left: the error is final.")
    return facts


def _running_facts(task: Task) -> list[str]:
    if not task.timeout_s:
        return ["It has no time-out."]
    return [f"Its time-out is {precise(task.timeout_s)} for each attempt."]


def _stopped(records: Sequence[AttemptRecord]) -> bool:
    """Return whether the task was cancelled while it ran."""
    return bool(records and records[-1].error)


def _cancelled(records: Sequence[AttemptRecord]) -> str:
    return (
        "It was cancelled while it ran." if _stopped(records)
        else "It was cancelled before it started."
    )  # fmt: skip
