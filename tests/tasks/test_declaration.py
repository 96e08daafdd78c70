"""Test declarations with options, under every backend of Django's Tasks API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from importlib import import_module
from typing import Any

import pytest
from django.test import override_settings

from taskmaster import Cron, task
from taskmaster.tasks import compat
from taskmaster.tasks.backend import TaskMasterBackend
from taskmaster.tasks.compat import InvalidTask
from taskmaster.tasks.declaration import TaskMasterTask, declared_options
from tests.factories import in_s
from tests.tasks.sample_tasks import add, careful

PACKAGE = compat.Task.__module__.rpartition(".")[0]


@pytest.fixture(params=["immediate.ImmediateBackend", "dummy.DummyBackend"])
def _djangos_backend(request: pytest.FixtureRequest) -> Iterator[None]:
    backend = f"{PACKAGE}.backends.{request.param}"
    with override_settings(TASKS={"default": {"BACKEND": backend}}):
        yield


@pytest.mark.usefixtures("_djangos_backend")
def test_options_are_accepted_under_djangos_backends() -> None:
    declared = task(
        max_attempts=5,
        timeout=60,
        tags=["a"],
        no_retry_on=[KeyError],
        schedule=Cron("@daily", args=[1, 2]),
    )(add.func)
    assert not isinstance(declared.get_backend(), TaskMasterBackend)
    assert (declared.max_attempts, declared.tags) == (5, ("a",))
    assert declared.schedules == (Cron("@daily", args=[1, 2]),)
    result = declared.options(timeout=5, tags=["b"]).enqueue(1, 2)
    assert result.task.timeout == 5  # type: ignore[attr-defined]
    if result.status == compat.TaskResultStatus.SUCCESSFUL:
        assert result.return_value == 3


@pytest.mark.usefixtures("_djangos_backend")
def test_invalid_options_are_refused_under_djangos_backends() -> None:
    with pytest.raises(InvalidTask, match="max_attempts: is 0; it must be from 1 to 100"):
        task(max_attempts=0)(add.func)


def test_the_decorator_needs_no_call() -> None:
    assert isinstance(task(add.func), TaskMasterTask)


def test_djangos_decorator_accepts_the_options_under_taskmasters_backend() -> None:
    declare = import_module(PACKAGE).task
    options: dict[str, Any] = {"max_attempts": 5, "schedule": Cron("@daily", args=[1, 2])}
    assert declare(**options)(add.func) == task(**options)(add.func)


class OtherTask(compat.Task):  # type: ignore[type-arg]
    """The task class of another backend."""


class OtherBackend(TaskMasterBackend):
    task_class = OtherTask  # type: ignore[assignment]


def test_a_backend_with_a_class_of_its_own_keeps_it() -> None:
    with override_settings(TASKS={"default": {"BACKEND": f"{__name__}.OtherBackend"}}):
        assert type(task(add.func)) is OtherTask
        assert type(task(schedule=Cron("@daily"))(add.func)) is OtherTask
        with pytest.raises(TypeError, match="max_attempts"):
            task(max_attempts=5)(add.func)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_attempts": 101}, "max_attempts: is 101"),
        ({"timeout": -1}, "timeout: is -1"),
        ({"retry_cap": "5"}, "retry_cap: must be a number"),
        ({"tags": ["a", ""]}, r"tags\[1\]: must not be empty"),
        ({"queue_name": "a b"}, "queue_name: is 'a b'"),
        ({"priority": 500}, "priority"),
        ({"on_lost_contact": "pause"}, "on_lost_contact: is 'pause'"),
    ],
)
def test_an_invalid_option_is_named_as_the_caller_wrote_it(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidTask, match=message):
        task(**options)(add.func)
    with pytest.raises(InvalidTask, match=message):
        add.options(**options)


@pytest.mark.parametrize("when", [datetime(2099, 1, 1), in_s(101 * 366 * 86_400)])
def test_an_invalid_time_is_named_as_the_caller_wrote_it(when: datetime) -> None:
    with pytest.raises(InvalidTask, match="run_after"):
        add.using(run_after=when)
    with pytest.raises(InvalidTask, match="run_after"):
        add.options(run_after=when)


def test_options_replace_only_the_given_ones() -> None:
    explicit = careful.options(timeout=0, tags=[], queue_name="fast")
    before, after = declared_options(careful), declared_options(explicit)
    assert after == before._replace(timeout_s=0.0, tags=(), queue="fast")
    assert declared_options(careful) == before


def test_an_explicit_pause_moves_the_declared_one() -> None:
    assert (careful.retry_base, careful.retry_cap) == (2, 8)
    assert careful.options(retry_cap=1).retry_base == 1
    assert careful.options(retry_base=9).retry_cap == 9
    with pytest.raises(InvalidTask, match="retry_base: is 9; it must not exceed"):
        careful.options(retry_base=9, retry_cap=1)
