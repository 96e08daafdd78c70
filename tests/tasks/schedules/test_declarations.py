"""Test which schedules code declares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.test import override_settings

from taskmaster import Cron, Every
from taskmaster.tasks import registry
from taskmaster.tasks.errors import ConfigurationError
from taskmaster.tasks.schedules import declarations
from taskmaster.tasks.schedules.declarations import DeclaredSchedule
from tests.tasks.bakery import schedules as bakery
from tests.tasks.bakery.tasks import report, ship

BAKERY = "tests.tasks.bakery"


@pytest.fixture(autouse=True)
def _installed() -> Iterator[None]:
    registry.load.cache_clear()
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, BAKERY]):
        yield
    registry.load.cache_clear()


def loaded() -> dict[str, DeclaredSchedule]:
    return {each.name: each for each in declarations.load()}


def declare(monkeypatch: pytest.MonkeyPatch, schedules: Any) -> None:
    """Put this value in place of the app's own schedules."""
    monkeypatch.setattr(bakery, "schedules", schedules)


def test_schedules_of_tasks_and_of_apps_are_found() -> None:
    found = loaded()
    assert list(found) == [
        "clean",
        "report-daily",
        "report-weekly",
        f"{BAKERY}.tasks.count",
        f"{BAKERY}.tasks.ship",
    ]
    assert found["report-weekly"].fields == {
        "task": f"{BAKERY}.tasks.report",
        "args": [],
        "kwargs": {"days": 7},
        "cron": "0 4 * * sun",
        "timezone": settings.TIME_ZONE,
        "tags": ("weekly",),
    }
    assert found["report-daily"].declared_in.startswith("tests/tasks/bakery/tasks.py:")
    assert found["clean"].fields["task"] == "shell"
    assert found["clean"].fields["kwargs"] == {
        "command": ["rm", "-r", "/tmp/dough"],
        "env": {"A": "1"},
    }
    assert found["clean"].declared_in.startswith("tests/tasks/bakery/schedules.py:")


def test_the_keys_of_a_dict_are_the_names(monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, {"a": Every(60, task=f"{BAKERY}.tasks.ship", args=[1])})
    assert loaded()["a"].fields["task"] == ship.module_path


def test_a_path_that_this_process_does_not_know_is_left_to_the_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declare(monkeypatch, [Every(60, task="elsewhere.tasks.run", args=[1, 2])])
    assert loaded()["elsewhere.tasks.run"].fields["args"] == [1, 2]


def test_a_module_of_this_name_in_an_unrelated_package_is_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declare(monkeypatch, bakery)
    assert "clean" not in loaded()


@pytest.mark.parametrize(
    ("schedules", "message"),
    [
        ("daily", r"schedules: must be a list of schedules, or a dict"),
        (["daily"], r"schedules\[0\]: must be a Cron, an Every or a Dates, not str"),
        ([Cron("@daily")], r"schedules\[0\]: has no task"),
        ([Cron("@daily", command="ls")], r"schedules\[0\]: a schedule of a command needs a name"),
        ([Cron("@daily", task=ship)], r"schedules\[0\]\.args: missing argument 'order_id'"),
        ([Cron("@daily", task=f"{BAKERY}.tasks.ship", kwargs={"x": 1})], r"kwargs: unknown arg"),
        ([Cron("@daily", task=report.options(priority=3))], r"task: is a variant of"),
        ({"a": Cron("@daily", task=report, name="b")}, r"schedules\['a'\]: has the name 'b' too"),
        ({"": Cron("@daily", task=report)}, r"schedules\[''\]\.name: must not be empty"),
        ([Cron("@daily", task=report, name="report-daily")], r"Two schedules have the name"),
    ],
)
def test_a_wrong_declaration_is_named_with_its_place(
    schedules: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, schedules)
    with pytest.raises(ConfigurationError, match=message):
        declarations.load()
    assert [each.id for each in run_checks() if each.id.startswith("taskmaster.W003")]


def test_a_module_that_cannot_be_imported_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "late_bakery").mkdir()
    (tmp_path / "late_bakery" / "__init__.py").touch()
    (tmp_path / "late_bakery" / "schedules.py").write_text(
        "from taskmaster import Cron\nschedules = [Cron('0 0 31 2 *')]"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with (
        override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "late_bakery"]),
        pytest.raises(
            ConfigurationError,
            match=r"^INSTALLED_APPS: late_bakery: late_bakery.schedules cannot be im.*Cron: ex",
        ),
    ):
        declarations.load()
