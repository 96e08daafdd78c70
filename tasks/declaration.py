"""Declare tasks with TaskMaster's options: `@task(max_attempts=5, timeout=60)`.

The decorator accepts the options under every backend of Django's Tasks API. Django's own decorator
accepts them only where the backend is TaskMaster's. Other backends ignore the options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar, overload

from taskmaster.tasks.compat import InvalidTask, Task, TaskContext, task_backends
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.options import (
    PYTHON_NAMES,
    GivenOptions,
    TaskOptions,
    default_options,
    parse_options,
)
from taskmaster.tasks.timing.declared import ScheduleDeclaration, parse_schedules

if TYPE_CHECKING:
    from typing import Self

    _Task = Task
else:

    class _Task(Task):
        """Accept type parameters, which the class of Django 6 does not."""

        __slots__ = ()

        def __class_getitem__(cls, _):
            return cls


P = ParamSpec("P")
T = TypeVar("T")

OnLostContact = Literal["continue", "stop"]

#: Field of a submission by its name in Python, where the two differ.
_FIELDS = {**PYTHON_NAMES, "run_after": "scheduled_at"}
_PYTHON_NAMES = {field: name for name, field in _FIELDS.items()}
_OPTIONS = ("max_attempts", "timeout", "retry_base", "retry_cap", "on_lost_contact", "tags")
#: Attributes of Django's tasks that are options too.
_DJANGO_OPTIONS = ("queue_name", "priority", "run_after")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskMasterTask(_Task[P, T]):
    """Hold a declaration with TaskMaster's options. None means not declared."""

    #: Number of attempts before the task fails. None: the setting `max_attempts`.
    max_attempts: int | None = None
    #: Hard time-out of an attempt in seconds; 0 for none. None: the setting `timeout_s`.
    timeout: float | None = None
    #: The first and the longest pause before a retry in seconds. None: the settings
    #: `retry_base_s` and `retry_cap_s`.
    retry_base: float | None = None
    retry_cap: float | None = None
    #: Exceptions after which the task is not retried, including their subclasses.
    no_retry_on: tuple[type[BaseException], ...] = ()
    #: `stop`: a worker that loses contact stops the task before another worker may start it.
    #: `continue`: the worker keeps running it. None means `continue`.
    on_lost_contact: str | None = None
    #: Tags of each submission.
    tags: tuple[str, ...] = ()
    #: When the coordinators run the task, besides the submissions: one schedule or a list of them.
    #: It is always a tuple after the declaration. The hash leaves it out, because every submission
    #: computes the hash.
    schedule: ScheduleDeclaration | Sequence[ScheduleDeclaration] = field(default=(), hash=False)

    def __post_init__(self) -> None:
        # A declaration is a cache key and must be hashable, so lists become tuples.
        for name in ("tags", "no_retry_on"):
            if isinstance(given := getattr(self, name), list):
                object.__setattr__(self, name, tuple(given))
        parse_declared({name: getattr(self, name) for name in _OPTIONS})
        if not isinstance(self.no_retry_on, tuple) or not all(
            isinstance(each, type) and issubclass(each, BaseException) for each in self.no_retry_on
        ):
            raise InvalidTask("no_retry_on: must be a list of exception classes.")
        Task.__post_init__(self)
        object.__setattr__(self, "schedule", parse_schedules(self.schedule, self))

    @property
    def schedules(self) -> tuple[ScheduleDeclaration, ...]:
        """The declared schedules."""
        assert isinstance(self.schedule, tuple)
        return self.schedule

    def options(
        self,
        *,
        queue_name: str | None = None,
        priority: int | None = None,
        run_after: datetime | None = None,
        max_attempts: int | None = None,
        timeout: float | None = None,
        retry_base: float | None = None,
        retry_cap: float | None = None,
        on_lost_contact: OnLostContact | None = None,
        tags: Sequence[str] | None = None,
    ) -> Self:
        """Return the task with the given options in place of the declared ones.

        `send.options(timeout=5, tags=["urgent"]).enqueue(42)` submits one task with them. Raise
        InvalidTask.
        """
        values: dict[str, Any] = {
            "queue_name": queue_name,
            "priority": priority,
            "run_after": run_after,
            "max_attempts": max_attempts,
            "timeout": timeout,
            "retry_base": retry_base,
            "retry_cap": retry_cap,
            "on_lost_contact": on_lost_contact,
            "tags": tags,
        }
        given = {name: value for name, value in values.items() if value is not None}
        parsed = parse_declared(given)
        # An explicit pause moves the declared one, as on every other interface.
        if "retry_base_s" in parsed and retry_cap is None and self.retry_cap is not None:
            given["retry_cap"] = max(self.retry_cap, parsed["retry_base_s"])
        if "retry_cap_s" in parsed and retry_base is None and self.retry_base is not None:
            given["retry_base"] = min(self.retry_base, parsed["retry_cap_s"])
        return replace(self, **given)


def parse_declared(given: Mapping[str, object]) -> GivenOptions:
    """Return the submission fields of options with Python's names. Raise InvalidTask."""
    try:
        return parse_options({_FIELDS.get(name, name): value for name, value in given.items()})
    except InvalidField as error:
        raise InvalidTask(str(error.renamed(_PYTHON_NAMES))) from None


@lru_cache(maxsize=1_000)
def declared_options(task: Task[..., Any]) -> TaskOptions:
    """Return the options of the task's declaration, above the defaults. Raise InvalidTask."""
    names = _DJANGO_OPTIONS + (_OPTIONS if isinstance(task, TaskMasterTask) else ())
    return default_options().override(parse_declared({name: getattr(task, name) for name in names}))


@overload
def task(function: Callable[P, T], /) -> TaskMasterTask[P, T]: ...


@overload
def task(
    *,
    priority: int = ...,
    queue_name: str = ...,
    backend: str = ...,
    takes_context: Literal[False] = ...,
    max_attempts: int | None = ...,
    timeout: float | None = ...,
    retry_base: float | None = ...,
    retry_cap: float | None = ...,
    no_retry_on: Sequence[type[BaseException]] = ...,
    on_lost_contact: OnLostContact | None = ...,
    tags: Sequence[str] = ...,
    schedule: ScheduleDeclaration | Sequence[ScheduleDeclaration] = ...,
) -> Callable[[Callable[P, T]], TaskMasterTask[P, T]]: ...


@overload
def task(
    *,
    priority: int = ...,
    queue_name: str = ...,
    backend: str = ...,
    takes_context: Literal[True],
    max_attempts: int | None = ...,
    timeout: float | None = ...,
    retry_base: float | None = ...,
    retry_cap: float | None = ...,
    no_retry_on: Sequence[type[BaseException]] = ...,
    on_lost_contact: OnLostContact | None = ...,
    tags: Sequence[str] = ...,
    schedule: ScheduleDeclaration | Sequence[ScheduleDeclaration] = ...,
) -> Callable[[Callable[Concatenate[TaskContext, P], T]], TaskMasterTask[P, T]]: ...


def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    priority: int = 0,
    queue_name: str = "default",
    backend: str = "default",
    takes_context: bool = False,
    **options: Any,
) -> Any:
    """Declare a task, as Django's decorator does, with TaskMaster's options.

    They are `max_attempts`, `timeout`, `retry_base`, `retry_cap`, `no_retry_on`, `on_lost_contact`,
    `tags` and `schedule`; see `TaskMasterTask`. Raise InvalidTask for an invalid option.
    """

    def declare(func: Callable[..., Any]) -> Task[..., Any]:
        own = task_backends[backend].task_class
        # A backend with a class of its own knows only the options of that class.
        kind: type[Task[..., Any]] = TaskMasterTask if issubclass(TaskMasterTask, own) else own
        if kind is not TaskMasterTask:
            options.pop("schedule", None)
        return kind(
            func=func,
            priority=priority,
            queue_name=queue_name,
            backend=backend,
            takes_context=takes_context,
            **options,
        )

    return declare if function is None else declare(function)
