"""What can be done to many tasks at once: to which of them, who may, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tasks.lifecycle import FINISHED, Status, Transition, sources
from tasks.permissions import CHANGE, DELETE
from tasks.templatetags.taskmaster import tasks


class Action(StrEnum):
    """What is done to each task."""

    CANCEL = "cancel"
    RETRY = "retry"
    RUN_NOW = "run_now"
    SET_QUEUE = "set_queue"
    SET_PRIORITY = "set_priority"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Rule:
    """`begin` and `done` are what a user began and did, with {tasks} and the parameters."""

    sources: frozenset[Status]
    #: What is said of a task of another status.
    refusal: str
    begin: str
    done: str
    permission: str = CHANGE


RULES: dict[Action, Rule] = {
    Action.CANCEL: Rule(
        sources(Transition.CANCEL),
        "only tasks that have not ended can be cancelled",
        "cancel {tasks}",
        "cancelled {tasks}",
    ),
    Action.RETRY: Rule(
        sources(Transition.RETRY),
        "only failed and cancelled tasks can be retried",
        "retry {tasks}",
        "retried {tasks}",
    ),
    Action.RUN_NOW: Rule(
        sources(Transition.MOVE),
        "only tasks that have not begun can be made due now",
        "make {tasks} due now",
        "made {tasks} due now",
    ),
    Action.SET_QUEUE: Rule(
        sources(Transition.REQUEUE),
        "only tasks that have not begun can change their queue",
        "move {tasks} to queue {queue}",
        "moved {tasks} to queue {queue}",
    ),
    Action.SET_PRIORITY: Rule(
        sources(Transition.REQUEUE),
        "only tasks that have not begun can change their priority",
        "give {tasks} priority {priority}",
        "gave {tasks} priority {priority}",
    ),
    Action.DELETE: Rule(
        FINISHED,
        "only finished tasks can be deleted",
        "delete {tasks}",
        "deleted {tasks}",
        DELETE,
    ),
}


def tasks_in_words(count: int, *, at_least: bool = False) -> str:
    """`at least 1,284 tasks`."""
    words = tasks(count)
    return f"at least {words}" if at_least else words
