"""Test the schedules that code declares."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import override_settings

from taskmaster import Cron, Dates, Every, task
from taskmaster.tasks.compat import InvalidTask
from taskmaster.tasks.declaration import TaskMasterTask
from taskmaster.tasks.timing.declared import ScheduleDeclaration
from tests.postgres_plugin import ROOT
from tests.tasks.sample_tasks import add, careful


def scheduled(*schedules: ScheduleDeclaration) -> TaskMasterTask[..., Any]:
    """Declare a task with these schedules."""
    return task(schedule=list(schedules))(careful.func)


def test_a_declaration_has_only_the_fields_that_are_given() -> None:
    cron = Cron("0 3 * * *", timezone="Europe/Berlin", args=[1], queue_name="nightly", timeout=5)
    assert cron.schedule_fields() == {
        "cron": "0 3 * * *",
        "timezone": "Europe/Berlin",
        "queue": "nightly",
        "timeout_s": 5,
    }
    assert cron.call_fields("a.b") == {"task": "a.b", "args": [1], "kwargs": {}}


def test_durations_and_zones_may_be_objects() -> None:
    every = Every(
        timedelta(minutes=5), jitter=timedelta(seconds=9), timezone=ZoneInfo("Asia/Tokyo")
    )
    assert every == Every(300.0, jitter=9.0, timezone="Asia/Tokyo")
    assert every.schedule_fields()["interval_s"] == 300


@override_settings(TIME_ZONE="America/New_York")
def test_the_zone_of_the_project_is_the_default() -> None:
    assert Every(60).schedule_fields()["timezone"] == "America/New_York"


def test_declarations_are_values() -> None:
    arguments = {"a": [1, {"b": 2}]}
    one = Cron("@daily", kwargs=arguments, tags=["x"])
    arguments["a"] = []
    two = Cron("@daily", kwargs={"a": [1, {"b": 2}]}, tags=("x",))
    assert one == two
    assert len({one, two, Cron("@daily", kwargs={"a": []}, tags=("x",))}) == 2
    with pytest.raises(AttributeError):
        one.priority = 3  # type: ignore[misc]


def test_a_declaration_knows_its_line() -> None:
    declared = Cron("@daily")
    assert re.fullmatch(r"tests/tasks/timing/test_declared\.py:\d+", declared.declared_in)
    assert declared == Cron("@daily")


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: Cron("0 0 30 2 *"), r"^Cron: expression: "),
        (lambda: Cron("* * * * * *"), r"^Cron: expression: "),
        (lambda: Cron("@daily", timezone="Mars/Base"), r"^Cron: timezone: .*Mars/Base"),
        (lambda: Cron("@daily", jitter=-1), r"^Cron: jitter: "),
        (lambda: Cron("@daily", catch_up="1"), r"^Cron: catch_up: "),
        (lambda: Cron("@daily", priority=500), r"^Cron: priority: is 500"),
        (lambda: Cron("@daily", queue_name="a b"), r"^Cron: queue_name: is 'a b'"),
        (lambda: Cron("@daily", kwargs={"a": object()}), r"^Cron: kwargs: is not valid JSON"),
        (lambda: Cron("@daily", name=""), r"^Cron: name: must not be empty"),
        (lambda: Cron("@daily", name="x" * 101), r"^Cron: name: has 101 characters"),
        (lambda: Cron("@daily", cwd="/"), r"^Cron: cwd: requires command"),
        (lambda: Cron("@daily", command="ls", task="a.b"), r"^Cron: command: cannot be combined"),
        (lambda: Cron("@daily", command="ls", args=[1]), r"^Cron: args: cannot be combined"),
        (lambda: Every(0.5), r"^Every: interval: is 0.5"),
        (lambda: Every(60, missed="never"), r"^Every: missed: "),
        (lambda: Dates([]), r"^Dates: dates: must contain"),
        (lambda: Dates(["soon"]), r"^Dates: dates\[0\]: 'soon' is not a time"),
    ],
)
def test_an_invalid_declaration_is_named_as_it_was_written(declare: Any, message: str) -> None:
    with pytest.raises(InvalidTask, match=message):
        declare()


def test_dates_that_have_passed_do_not_break_the_import() -> None:
    past = datetime(2019, 5, 1, tzinfo=UTC)
    assert Dates([past, datetime(2018, 1, 1, 12)]).dates
    assert Cron("0 3 * * *", starts_at=past - timedelta(days=9), ends_at=past)
    assert Cron("0 0 29 2 *", ends_at=datetime(2023, 6, 1))
    with pytest.raises(InvalidTask, match="ends_at"):
        Cron("0 3 * * *", starts_at=past, ends_at=past - timedelta(days=9))


def test_a_call_that_does_not_fit_is_refused_at_the_declaration() -> None:
    with pytest.raises(InvalidTask, match=r"^schedule: args: missing argument 'a'; the signature"):
        scheduled(Cron("@daily"))
    with pytest.raises(InvalidTask, match=r"^schedule: kwargs: unknown argument 'c'"):
        scheduled(Cron("@daily", args=[1], kwargs={"c": 3}))
    assert len(scheduled(Cron("@daily", args=[1])).schedules) == 1


@pytest.mark.parametrize(
    ("schedules", "message"),
    [
        ([Cron("@daily", args=[1]), Every(60, args=[1])], "each of several schedules needs a name"),
        ([Cron("@daily", args=[1], name="a"), Every(60, args=[1], name="a")], "the same name"),
        ([Cron("@daily", args=[1], task=add)], "must not have a task or a command here"),
        (["0 3 * * *"], "must be a Cron, an Every or a Dates, or a list of them"),
        ({"a": Cron("@daily")}, "must be a Cron, an Every or a Dates, or a list of them"),
    ],
)
def test_schedules_of_a_task_are_checked_together(schedules: Any, message: str) -> None:
    with pytest.raises(InvalidTask, match=message):
        task(schedule=schedules)(careful.func)


def test_a_task_keeps_its_schedules_under_other_options() -> None:
    declared = scheduled(Cron("@daily", args=[1]))
    assert declared.options(priority=3).schedules == declared.schedules
    assert {declared: 1}[scheduled(Cron("@daily", args=[1]))] == 1


def test_async_tasks_and_tasks_with_context_have_schedules() -> None:
    async def ping(context: object, host: str) -> None: ...

    kept = ping
    kept.__qualname__ = "ping"
    with pytest.raises(InvalidTask, match="missing argument 'host'"):
        task(takes_context=True, schedule=Every(60))(kept)
    fits = task(takes_context=True, schedule=Every(60, args=["a"]))(kept)
    assert fits.schedules == (Every(60, args=["a"]),)


def test_a_declaration_needs_neither_models_nor_a_database(tmp_path: Path) -> None:
    code = """
import sys
from django.conf import settings
settings.configure()
from taskmaster import Cron, Dates, Every, task
dates = Dates(["2030-01-31 12:00"], name="c")
@task(schedule=[Cron("@daily", name="a"), Every(60, name="b"), dates])
def ping(): ...
print(sorted(name for name in sys.modules if "psycopg" in name or "tasks.models" in name))
"""
    # The task must not belong to `__main__`.
    path = tmp_path / "declares.py"
    path.write_text(code)
    done = subprocess.run(
        [sys.executable, "-c", "import declares"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
