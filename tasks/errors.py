"""What can go wrong, each with a message for the person who can act on it.

`tasks.api.errors` maps these classes to HTTP, `coordinator.service` to gRPC.
"""

from __future__ import annotations


class TaskMasterError(Exception):
    """The root of all errors that TaskMaster raises on purpose."""


class ConfigurationError(TaskMasterError):
    """A setting is wrong; the message names it and what would be right."""


class InvalidField(TaskMasterError):
    """A field of a submission breaks a rule. HTTP 400, gRPC INVALID_ARGUMENT.

    `field` names it as the caller does (`queue`, `tasks[17].priority`).
    """

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


class TooLarge(InvalidField):
    """A field or a bulk is larger than its limit. HTTP 413, gRPC INVALID_ARGUMENT."""


class UnknownTaskName(InvalidField):
    """The callable is not registered. HTTP 400, gRPC INVALID_ARGUMENT."""


class NotAllowed(TaskMasterError):
    """The user lacks a permission. HTTP 403, gRPC PERMISSION_DENIED."""


class NotFound(TaskMasterError):
    """Nothing has this id. HTTP 404, gRPC NOT_FOUND."""


class TaskNotFound(NotFound):
    """No task has this id."""

    def __init__(self, task_id: object) -> None:
        super().__init__(f"There is no task {task_id}.")


class OperationNotFound(NotFound):
    """No operation on many tasks has this id."""

    def __init__(self, operation_id: object) -> None:
        super().__init__(f"There is no operation {operation_id}.")


class IllegalTransition(TaskMasterError):
    """The status of what it is about does not allow it. HTTP 409, gRPC FAILED_PRECONDITION."""


class Conflict(TaskMasterError):
    """What is there already does not allow it. HTTP 409."""


class KeyReused(TaskMasterError):
    """An Idempotency-Key was sent before with another submission. HTTP 422."""


class Unavailable(TaskMasterError):
    """What it takes is not there at the moment. HTTP 503."""
