"""Define the bulk actions: permitted source statuses, permissions and user-facing texts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from taskmaster.tasks.lifecycle import FINISHED, Status, Transition, sources
from taskmaster.tasks.permissions import CHANGE, DELETE, RUN_SCHEDULE, VIEW, VIEW_SCHEDULE
from taskmaster.tasks.templatetags.taskmaster import tasks


class Action(StrEnum):
    """Name what a bulk operation does: an action on each task, or the back-fill of a schedule."""

    CANCEL = "cancel"
    RETRY = "retry"
    RUN_NOW = "run_now"
    SET_QUEUE = "set_queue"
    SET_PRIORITY = "set_priority"
    DELETE = "delete"
    BACKFILL = "backfill"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRule:
    """Describe one action.

    `infinitive` and `past` are templates for the activity log and previews. Their placeholders are
    {tasks}, {queue} and {priority}, and {runs} and {schedule}. `view` is the permission to see such
    an operation, and `change` the one to start and to cancel it in addition.
    """

    infinitive: str
    past: str
    view: str = VIEW
    change: str = CHANGE


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskActionRule(ActionRule):
    """Describe an action on each task."""

    sources: frozenset[Status]
    #: Reason recorded for a task whose status is not in `sources`.
    refusal: str


TASK_RULES: dict[Action, TaskActionRule] = {
    Action.CANCEL: TaskActionRule(
        sources=sources(Transition.CANCEL),
        refusal="only tasks that have not ended can be cancelled",
        infinitive="cancel {tasks}",
        past="cancelled {tasks}",
    ),
    Action.RETRY: TaskActionRule(
        sources=sources(Transition.RETRY),
        refusal="only failed and cancelled tasks can be retried",
        infinitive="retry {tasks}",
        past="retried {tasks}",
    ),
    Action.RUN_NOW: TaskActionRule(
        sources=sources(Transition.RESCHEDULE),
        refusal="only tasks that have not started can be made due now",
        infinitive="make {tasks} due now",
        past="made {tasks} due now",
    ),
    Action.SET_QUEUE: TaskActionRule(
        sources=sources(Transition.REQUEUE),
        refusal="only tasks that have not started can change their queue",
        infinitive="move {tasks} to queue {queue}",
        past="moved {tasks} to queue {queue}",
    ),
    Action.SET_PRIORITY: TaskActionRule(
        sources=sources(Transition.REQUEUE),
        refusal="only tasks that have not started can change their priority",
        infinitive="give {tasks} priority {priority}",
        past="gave {tasks} priority {priority}",
    ),
    Action.DELETE: TaskActionRule(
        sources=FINISHED,
        refusal="only finished tasks can be deleted",
        infinitive="delete {tasks}",
        past="deleted {tasks}",
        change=DELETE,
    ),
}

#: Actions on each task, in the order of menus.
TASK_ACTIONS = tuple(TASK_RULES)

RULES: dict[Action, ActionRule] = {
    **TASK_RULES,
    Action.BACKFILL: ActionRule(
        infinitive="back-fill {runs} of schedule {schedule}",
        past="back-filled {runs} of schedule {schedule}",
        view=VIEW_SCHEDULE,
        change=RUN_SCHEDULE,
    ),
}


def format_task_count(count: int, *, at_least: bool = False) -> str:
    """Format a task count, such as `at least 1,284 tasks`."""
    text = tasks(count)
    return f"at least {text}" if at_least else text


def format_run_count(count: int) -> str:
    """Format a number of runs: `1 run`, `1,284 runs`."""
    return f"{count:,} run{'' if count == 1 else 's'}"
