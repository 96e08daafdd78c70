"""Define the bulk actions: permitted source statuses, permission and user-facing texts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from taskmaster.tasks.lifecycle import FINISHED, Status, Transition, sources
from taskmaster.tasks.permissions import CHANGE, DELETE
from taskmaster.tasks.templatetags.taskmaster import tasks


class Action(StrEnum):
    """Name the action that a bulk operation applies to each task."""

    CANCEL = "cancel"
    RETRY = "retry"
    RUN_NOW = "run_now"
    SET_QUEUE = "set_queue"
    SET_PRIORITY = "set_priority"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class ActionRule:
    """Describe one action.

    `infinitive` and `past` are templates for the activity log and previews. Their placeholders are
    {tasks}, {queue} and {priority}.
    """

    sources: frozenset[Status]
    #: Reason recorded for a task whose status is not in `sources`.
    refusal: str
    infinitive: str
    past: str
    permission: str = CHANGE


RULES: dict[Action, ActionRule] = {
    Action.CANCEL: ActionRule(
        sources(Transition.CANCEL),
        "only tasks that have not ended can be cancelled",
        "cancel {tasks}",
        "cancelled {tasks}",
    ),
    Action.RETRY: ActionRule(
        sources(Transition.RETRY),
        "only failed and cancelled tasks can be retried",
        "retry {tasks}",
        "retried {tasks}",
    ),
    Action.RUN_NOW: ActionRule(
        sources(Transition.RESCHEDULE),
        "only tasks that have not started can be made due now",
        "make {tasks} due now",
        "made {tasks} due now",
    ),
    Action.SET_QUEUE: ActionRule(
        sources(Transition.REQUEUE),
        "only tasks that have not started can change their queue",
        "move {tasks} to queue {queue}",
        "moved {tasks} to queue {queue}",
    ),
    Action.SET_PRIORITY: ActionRule(
        sources(Transition.REQUEUE),
        "only tasks that have not started can change their priority",
        "give {tasks} priority {priority}",
        "gave {tasks} priority {priority}",
    ),
    Action.DELETE: ActionRule(
        FINISHED,
        "only finished tasks can be deleted",
        "delete {tasks}",
        "deleted {tasks}",
        DELETE,
    ),
}


def format_task_count(count: int, *, at_least: bool = False) -> str:
    """Format a task count, such as `at least 1,284 tasks`."""
    text = tasks(count)
    return f"at least {text}" if at_least else text
