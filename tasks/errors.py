"""Define TaskMaster's exceptions. Each message is written for the person who can act on it.

`taskmaster.tasks.api.errors` maps these classes to HTTP, `taskmaster.coordinator.rpc` to gRPC.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.core.exceptions import ImproperlyConfigured


class TaskMasterError(Exception):
    """Serve as the base class of TaskMaster's own errors."""


class ConfigurationError(TaskMasterError, ImproperlyConfigured):
    """Report an invalid setting. The message names the setting and the rule."""


class InvalidField(TaskMasterError):
    """Report a field that breaks a rule. HTTP 400, gRPC INVALID_ARGUMENT.

    `field` is the caller's name of the field, such as `queue` or `tasks[17].priority`.
    """

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule

    def renamed(self, names: Mapping[str, str]) -> InvalidField:
        """Return the same error with the caller's name of the field.

        `names` has the caller's name of each field that has another one. `tags` also renames
        `tags[3]` and `tags.inner`.
        """
        for name, callers in names.items():
            if self.field == name or self.field.startswith((f"{name}.", f"{name}[")):
                return type(self)(callers + self.field.removeprefix(name), self.rule)
        return self


class TooLarge(InvalidField):
    """Report a field or a bulk above its size limit. HTTP 413, gRPC INVALID_ARGUMENT."""


class UnknownTaskName(InvalidField):
    """Report a task name that is not registered. HTTP 400, gRPC INVALID_ARGUMENT."""


class NotAllowed(TaskMasterError):
    """Report a missing permission of the user. HTTP 403, gRPC PERMISSION_DENIED."""


class NotFound(TaskMasterError):
    """Report an id that does not exist. HTTP 404, gRPC NOT_FOUND."""


class TaskNotFound(NotFound):
    """Report a task id that does not exist."""

    def __init__(self, task_id: object) -> None:
        super().__init__(f"There is no task {task_id}.")


class OperationNotFound(NotFound):
    """Report a bulk operation id that does not exist."""

    def __init__(self, operation_id: object) -> None:
        super().__init__(f"There is no operation {operation_id}.")


class ScheduleNotFound(NotFound):
    """Report a schedule id or name that does not exist."""

    def __init__(self, schedule: object) -> None:
        super().__init__(f"There is no schedule {schedule}.")


class PauseNotFound(NotFound):
    """Report a pause id that does not exist."""

    def __init__(self, pause_id: object) -> None:
        super().__init__(f"There is no pause {pause_id}; it may have ended.")


class IllegalTransition(TaskMasterError):
    """Report a change that the current status forbids. HTTP 409, gRPC FAILED_PRECONDITION."""


class Conflict(TaskMasterError):
    """Report a conflict with an existing object. HTTP 409, gRPC FAILED_PRECONDITION."""


class VersionChanged(TaskMasterError):
    """Report that an object has changed since the client read it. HTTP 412."""


class KeyReused(TaskMasterError):
    """Report an Idempotency-Key that was already used for another submission. HTTP 422."""


class Unavailable(TaskMasterError):
    """Report a required service or package that is not available. HTTP 503."""
