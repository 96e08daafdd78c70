"""Test the error of a task in one line: how PostgreSQL computes it, and how lists show it."""

from __future__ import annotations

from typing import Any

import pytest

from taskmaster.tasks.models import Task
from taskmaster.tasks.presentation import error_line
from tests.factories import stored

RAISED = {"class": "raised", "exception": "builtins.RuntimeError", "message": "no\nsecond line"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("errors", "line"),
    [
        ([], None),
        ([RAISED], "RuntimeError: no"),
        ([RAISED, {"class": "lost", "message": "the worker a was lost"}],
         "lost: the worker a was lost"),
        ([{**RAISED, "exception": "shop.mail.Refused", "message": "\n  why"}],
         "shop.mail.Refused: why"),
        ([{**RAISED, "message": " \n "}], "RuntimeError"),
        ([{**RAISED, "message": "RuntimeError: no"}], "RuntimeError: no"),
        ([{**RAISED, "message": "RuntimeError"}], "RuntimeError"),
        ([{**RAISED, "exception": "a.f.<locals>.C", "message": "C: x"}], "a.f.<locals>.C: x"),
        ([{**RAISED, "exception": "a.(b[", "message": "(b[: x"}], "a.(b[: x"),
        ([{"class": "exit_code", "code": 2, "message": "exit code 2"}], "exit code 2"),
        ([{"class": "out_of_memory", "message": "killed"}], "out of memory: killed"),
        ([{"class": "raised", "message": "the result is too large"}], "the result is too large"),
        ([{"class": "raised", "message": "x" * 1_000}], "x" * 300),
        ([{}], "failed"),
    ],
)  # fmt: skip
def test_the_newest_failed_attempt_gives_the_line(errors: list[Any], line: str | None) -> None:
    [task] = stored()
    Task.objects.filter(pk=task).update(errors=errors)
    assert Task.objects.get().error == line


@pytest.mark.parametrize(
    ("line", "html"),
    [
        ("RuntimeError: a: b", "<code>RuntimeError</code><span>a: b</span>"),
        ("shop.mail.Refused: why", "<code>Refused</code><span>why</span>"),
        ("a.f.<locals>.E: x", "<code>E</code><span>x</span>"),
        ("RuntimeError", "<code>RuntimeError</code><span></span>"),
        ("out of memory: killed", "<code>out of memory</code><span>killed</span>"),
        ("exit code 2", "<span>exit code 2</span>"),
        ("a <b>: c", "<span>a &lt;b&gt;: c</span>"),
        ("E: <img src=x>", "<code>E</code><span>&lt;img src=x&gt;</span>"),
    ],
)
def test_a_cell_separates_the_class_and_escapes_the_message(line: str, html: str) -> None:
    cell = error_line.cell(Task(status="failed", error=line))
    assert cell == f'<span class="error-cell">{html}</span>'


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("failed", True),
        ("pending", True),
        ("cancelled", True),
        ("started", False),
        ("complete", False),
    ],
)
def test_a_later_attempt_hides_the_error(status: str, shown: bool) -> None:
    task = Task(status=status, error="E: x")
    assert error_line.of(task) == ("E: x" if shown else "")
    assert bool(error_line.cell(task)) is shown
