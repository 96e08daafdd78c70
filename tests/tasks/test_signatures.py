"""Test that a call must fit the signature of the task's callable."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from taskmaster import task
from taskmaster.tasks.compat import TaskContext
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.signatures import check_call


@task
def plain(a: int, b: int = 2) -> None: ...


@task
def strict(a: int, /, b: int, *, c: int, d: int = 4) -> None: ...


@task
def loose(a: int, *rest: int, **named: int) -> None: ...


@task(takes_context=True)
def with_context(context: TaskContext, a: int) -> None: ...


def _with_connection(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function("connection", *args, **kwargs)

    return call


def _unwrapped(connection: str, a: int) -> None: ...


# Replaces a function of this module by its wrapper, as a decorator does.
wrapped = task(_with_connection(_unwrapped))


@pytest.mark.parametrize(
    ("declared", "args", "kwargs"),
    [
        (plain, [1], {}),
        (plain, [1, 2], {}),
        (plain, [], {"b": 1, "a": 2}),
        (strict, [1, 2], {"c": 3}),
        (strict, [1], {"b": 2, "c": 3, "d": 4}),
        (loose, [1, 2, 3], {"other": 4}),
        (loose, [], {"a": 1, "rest": 2}),
        (with_context, [1], {}),
        (with_context, [], {"a": 1}),
        (wrapped, [1], {}),
        (wrapped, [1, 2, 3], {"any": 4}),
    ],
)
def test_a_call_that_fits_is_accepted(declared: Any, args: list[int], kwargs: Any) -> None:
    check_call(declared, args, kwargs)


@pytest.mark.parametrize(
    ("declared", "args", "kwargs", "message"),
    [
        (plain, [], {}, "args: missing argument 'a'; the signature is plain(a, b=…)."),
        (plain, [], {"b": 1}, "kwargs: missing argument 'a'; the signature is plain(a, b=…)."),
        (plain, [1, 2, 3], {}, "args: has 3 arguments; plain(a, b=…) accepts 2."),
        (plain, [1], {"c": 1}, "kwargs: unknown argument 'c'; the signature is plain(a, b=…)."),
        (
            plain,
            [1],
            {"a": 1},
            "kwargs: argument 'a' of plain(a, b=…) is also argument 1 in args; give it once.",
        ),
        (strict, [], {"a": 1, "b": 2, "c": 3}, "kwargs: unknown argument 'a'"),
        (strict, [1, 2], {}, "args: missing argument 'c'"),
        (strict, [1, 2, 3], {}, "args: has 3 arguments; strict(a, b, c, d=…) accepts 2."),
        (loose, [], {}, "args: missing argument 'a'; the signature is loose(a, *rest, **named)."),
        (with_context, [], {}, "args: missing argument 'a'; the signature is with_context(a)."),
        (with_context, [1, 2], {}, "args: has 2 arguments; with_context(a) accepts 1."),
        (with_context, [1], {"context": 1}, "kwargs: unknown argument 'context'"),
    ],
)
def test_a_call_that_does_not_fit_is_refused(
    declared: Any, args: list[int], kwargs: Any, message: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        check_call(declared, args, kwargs)
    assert str(refused.value).startswith(message)


def test_the_prefix_of_a_bulk_is_in_the_field() -> None:
    with pytest.raises(InvalidField) as refused:
        check_call(plain, [], {}, at="tasks[3].")
    assert refused.value.field == "tasks[3].args"
