"""Test one attempt of a Python task and the report of its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from taskmaster import current_task
from taskmaster.tasks import registry
from taskmaster.workers.daemon.child.task_runner import TaskRunner
from taskmaster.workers.daemon.messages import Raised, RunTask, Succeeded

MODULE = "tests.system.sample_tasks"


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TASKMASTER_TASK_MODULES", MODULE)
    registry.load.cache_clear()
    yield
    monkeypatch.undo()
    registry.load.cache_clear()


def request(name: str, *args: Any, number: int = 1, **kwargs: Any) -> RunTask:
    return RunTask(
        5, f"{MODULE}.{name}", json.dumps(args), json.dumps(kwargs), 7, number, 0, "default", 0
    )


def run(name: str, *args: Any, number: int = 1, **kwargs: Any) -> Succeeded | Raised:
    return TaskRunner("heron").run(request(name, *args, number=number, **kwargs))


@pytest.mark.parametrize("name", ["echo", "echo_later"])
def test_sync_and_async_tasks_report_their_result(name: str) -> None:
    report = run(name, value={"name": "löwe"})
    assert isinstance(report, Succeeded)
    assert (report.id, report.result) == (5, '{"name":"löwe"}')
    assert 0 < report.started_at_us <= report.finished_at_us


async def test_an_async_task_runs_in_the_loop_of_its_caller() -> None:
    runner = TaskRunner("heron")
    assert runner.is_async(request("echo_later", 1))
    assert not runner.is_async(request("echo", 1))
    assert not runner.is_async(request("unknown"))
    report = await runner.run_async(request("echo_later", 1))
    assert isinstance(report, Succeeded)
    assert report.result == "1"


async def test_the_current_task_is_known_inside_a_task_only() -> None:
    runner = TaskRunner("heron")
    due_at = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    due_us = int(due_at.timestamp() * 1e6)
    for name in ("current", "current_later"):
        for scheduled_for_us, expected in ((due_us, due_at.isoformat()), (0, None)):
            given = request(name, number=3)._replace(scheduled_for_us=scheduled_for_us)
            reports = [await asyncio.to_thread(runner.run, given)]
            if runner.is_async(given):
                reports.append(await runner.run_async(given))
            for report in reports:
                assert isinstance(report, Succeeded), report
                assert json.loads(report.result) == [7, 3, expected]
            assert current_task() is None


def test_nothing_is_stored_for_none() -> None:
    report = run("echo", None)
    assert isinstance(report, Succeeded)
    assert report.result == ""


def test_a_task_with_a_context_sees_the_number_of_its_attempt() -> None:
    report = run("number_of_attempt", number=3)
    assert isinstance(report, Succeeded)
    assert report.result == "3"


def test_an_exception_is_reported_with_its_class_and_the_frame_of_the_task() -> None:
    report = run("print_and_raise")
    assert isinstance(report, Raised)
    assert (report.exception, report.message) == (
        "builtins.ValueError",
        "ValueError: no such order",
    )
    assert "print_and_raise" in report.traceback
    assert "task_runner.py" not in report.traceback
    assert (report.final, report.retry_after_s) == (False, None)


@pytest.mark.parametrize(
    ("name", "args", "final", "retry_after_s"),
    [
        ("retry_then_return", [2.5], False, 2.5),
        ("discard", [], True, None),
        ("raise_key_error", [], True, None),
        ("return_non_json", [], True, None),
        ("unknown", [], True, None),
    ],
)
def test_whether_and_when_a_task_is_attempted_again(
    name: str, args: list[Any], final: bool, retry_after_s: float | None
) -> None:
    report = run(name, *args)
    assert isinstance(report, Raised)
    assert (report.final, report.retry_after_s) == (final, retry_after_s)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a\0b", "contains U+0000"),
        ("\ud800", "contains a lone surrogate"),
        ("x" * 2_000_000, "the limit is"),
        (json.loads("[" * 101 + "]" * 101), "nested more than 100 levels deep"),
    ],
)
def test_a_result_that_cannot_be_stored_is_refused(value: object, message: str) -> None:
    report = run("echo", value)
    assert isinstance(report, Raised)
    assert message in report.message
    assert report.final


@pytest.mark.parametrize(
    ("args", "kwargs"), [("[", ""), ("[" * 100_000, ""), ("{}", ""), ("", "[1]"), ("", "nan")]
)
def test_arguments_that_cannot_be_decoded_use_one_attempt(args: str, kwargs: str) -> None:
    report = TaskRunner("heron").run(request("echo")._replace(args=args, kwargs=kwargs))
    assert isinstance(report, Raised)
    assert report.message.startswith("args, kwargs: ")
    assert report.final
