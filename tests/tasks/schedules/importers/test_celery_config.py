"""Test the import of a `beat_schedule`. The classes have the attributes of Celery's."""

from __future__ import annotations

import sys
from datetime import timedelta
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.schedules.importers import celery_config
from taskmaster.tasks.schedules.importers.found import FoundSchedule

SEND = "shop.tasks.send"


def crontab(**fields: Any) -> SimpleNamespace:
    names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
    return SimpleNamespace(**{f"_orig_{name}": fields.get(name, "*") for name in names})


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of a project, which holds the app and the schedule."""
    module = ModuleType("shop_celery")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def only(module: ModuleType, entry: Any) -> FoundSchedule:
    module.SCHEDULE = {"nightly": entry}  # type: ignore[attr-defined]
    [each] = celery_config.find("shop_celery.SCHEDULE")
    return each


@pytest.mark.parametrize(
    "schedule",
    [90, 90.0, timedelta(seconds=90), SimpleNamespace(run_every=timedelta(seconds=90))],
)
def test_an_interval_may_be_a_number_or_an_object(module: ModuleType, schedule: Any) -> None:
    each = only(module, {"task": SEND, "schedule": schedule, "args": (1,), "kwargs": {"a": 2}})
    assert each == FoundSchedule(
        "nightly", SEND, {"interval_s": 90.0, "task": SEND, "args": (1,), "kwargs": {"a": 2}}
    )


def test_an_app_gives_the_zone_of_its_crontabs(module: ModuleType) -> None:
    entries = {"nightly": {"task": SEND, "schedule": crontab(minute=0, hour="22-2")}}
    conf = SimpleNamespace(beat_schedule=entries, timezone="Europe/Berlin")
    module.app = SimpleNamespace(conf=conf)  # type: ignore[attr-defined]
    [each] = celery_config.find("shop_celery:app")
    assert each.fields["cron"] == "0 0-2,22,23 * * *"
    assert each.fields["timezone"] == "Europe/Berlin"
    conf.timezone = None
    [each] = celery_config.find("shop_celery:app")
    assert each.fields["timezone"] == "UTC"


def test_the_queue_is_kept_and_other_options_are_noted(module: ModuleType) -> None:
    options = {"queue": "mail", "expires": 5, "priority": 3}
    each = only(module, {"task": SEND, "schedule": 60, "options": options})
    assert each.fields["queue"] == "mail"
    assert each.notes == ("option expires is left out", "option priority is left out")


@pytest.mark.parametrize(
    ("entry", "obstacle"),
    [
        ({"schedule": 60}, "task: is missing."),
        ({"task": SEND, "schedule": SimpleNamespace(lat=52, lon=13)}, "solar: It follows the sun"),
        ({"task": SEND, "schedule": "daily"}, "schedule: is a str; only intervals and crontabs"),
        ({"task": SEND, "schedule": crontab(day_of_month=1, day_of_week=1)}, "crontab: has the"),
        ({"task": SEND, "schedule": 60, "options": 3}, "options: must be a dict."),
        ({"task": "celery.backend_cleanup", "schedule": 60}, "It is a task of Celery itself."),
    ],
)
def test_a_schedule_that_cannot_be_imported_has_the_reason(
    module: ModuleType, entry: Any, obstacle: str
) -> None:
    assert only(module, entry).obstacle.startswith(obstacle)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("shop", "SOURCE: is 'shop'; give MODULE:APP"),
        ("no.such:app", "SOURCE: no.such:app cannot be imported: ModuleNotFoundError"),
        ("shop_celery:none", "SOURCE: shop_celery:none cannot be imported: AttributeError"),
        ("shop_celery:empty", "SOURCE: shop_celery:empty is not a Celery app and no dict"),
        ("shop_celery:number", "SOURCE: shop_celery:number is not a Celery app and no dict"),
    ],
)
def test_a_source_that_cannot_be_read_is_refused(
    module: ModuleType, source: str, message: str
) -> None:
    module.number = 7  # type: ignore[attr-defined]
    module.empty = SimpleNamespace(conf=SimpleNamespace())  # type: ignore[attr-defined]
    with pytest.raises(InvalidField, match=message):
        list(celery_config.find(source))
