"""Build the texts of events from rows and reports."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from taskmaster.coordinator.events import messages
from taskmaster.tasks.bulk.apply import ChangedTask
from taskmaster.tasks.bulk.runner import ChunkResult
from taskmaster.tasks.bulk_actions import Action
from taskmaster.tasks.event import EventKind
from taskmaster.tasks.messages import Completion, Failure, RecordedAttempt, Start, TaskChange
from tests.coordinator.sample import claimed

HERON = UUID(int=1)
ROW = RecordedAttempt(7, "a.task", "mail", 0.002)


def change(status: str, attempt: int = 1, due_in_s: float = 5.0) -> TaskChange:
    return TaskChange(7, "a.task", "mail", status, attempt, 3, "heron", HERON, due_in_s)


def failure(**error: Any) -> Failure:
    return Failure(7, 1, 1, 0.5, 0.3, "heron", HERON, json.dumps(error), False, None)


def test_a_claim_is_named_with_the_time_until_it_is_due() -> None:
    assert messages.picked(claimed(due_in_s=0.0), None).text == "claimed"
    event = messages.picked(claimed(due_in_s=120.0), None)
    assert (event.kind, event.text) == (EventKind.PICKED, "claimed, due in 2 min")


def test_a_start_is_named_with_its_worker_and_attempt() -> None:
    event = messages.started(ROW, Start(7, 1, 2, 0.1, "heron", HERON))
    assert (event.kind, event.text) == (EventKind.STARTED, "on heron, attempt 2")
    assert (event.task_id, event.task, event.queue) == (7, "a.task", "mail")
    assert (event.worker, event.worker_id) == ("heron", HERON)


def test_a_completion_is_named_with_its_run_time() -> None:
    event = messages.complete(ROW, Completion(7, 1, 1, 0.5, 0.3, "heron", HERON, None))
    assert (event.kind, event.text) == (EventKind.COMPLETE, "on heron in 200 ms")


def test_a_failure_that_is_retried_is_named_with_the_pause() -> None:
    event = messages.failed(
        change("pending"), failure(**{"class": "raised", "exception": "ValueError", "message": "x"})
    )
    assert event.kind is EventKind.RETRIED
    assert event.text == "ValueError: x (attempt 1 of 3, on heron); next attempt in 5.0 s"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"class": "raised", "exception": "builtins.ValueError", "message": "a ValueError\nhere"},
         "a ValueError here"),
        ({"class": "exit_code", "message": "2"}, "exit code: 2"),
        ({"class": "out_of_memory"}, "out of memory"),
        ({"class": "timeout", "message": ""}, "time-out"),
    ],
)  # fmt: skip
def test_the_reason_of_a_failure_is_one_readable_line(error: dict[str, Any], reason: str) -> None:
    event = messages.failed(change("failed", 3), failure(**error))
    assert event.kind is EventKind.FAILED
    assert event.text == f"{reason} (attempt 3 of 3, on heron)"


def test_a_rescued_task_is_named_with_its_next_attempt() -> None:
    event = messages.rescued(change("pending"), None)
    assert event.kind is EventKind.RESCUED
    assert event.text == "heron was lost; attempt 2 of 3 in 5.0 s"


def test_a_lost_last_attempt_is_a_failure() -> None:
    event = messages.rescued(change("failed", 3), None)
    assert event.kind is EventKind.FAILED
    assert event.text == "heron was lost; all 3 attempts are used"


def test_a_released_task_returns_to_the_queue() -> None:
    event = messages.released(change("pending"), None)
    assert (event.kind, event.text) == (EventKind.RELEASED, "returned to the queue")


@pytest.mark.parametrize(
    ("action", "kind", "text"),
    [
        (Action.CANCEL, EventKind.CANCELLED, "cancelled by eve"),
        (Action.RETRY, EventKind.SUBMITTED, "retried (was failed) by eve"),
        (Action.RUN_NOW, EventKind.SUBMITTED, "made due now by eve"),
        (Action.BACKFILL, EventKind.SUBMITTED, "to mail by eve, back-filling schedule nightly"),
    ],
)
def test_a_task_of_a_bulk_operation_is_named_with_the_action_and_the_user(
    action: Action, kind: EventKind, text: str
) -> None:
    row = ChangedTask(7, "a.task", "mail", "failed")
    event = messages.changed_in_bulk(ChunkResult(action, "eve", schedule="nightly"))(row, None)
    assert (event.kind, event.text, event.user) == (kind, text, "eve")
