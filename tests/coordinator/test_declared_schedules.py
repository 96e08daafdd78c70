"""Test that a starting coordinator stores the declared schedules, and survives wrong ones."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import OperationalError
from django.test import override_settings

from taskmaster import Cron
from taskmaster.coordinator import declared_schedules
from taskmaster.coordinator.declared_schedules import DeclaredSchedules
from taskmaster.coordinator.process import Process
from taskmaster.tasks import registry
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.models import Schedule
from taskmaster.tasks.schedules import service
from taskmaster.tasks.schedules.sync import SyncReport, sync
from tests.system.fleet import free_port, serving
from tests.tasks.bakery import schedules as bakery

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = {
    "clean",
    "report-daily",
    "report-weekly",
    "tests.tasks.bakery.tasks.count",
    "tests.tasks.bakery.tasks.ship",
}


@pytest.fixture(autouse=True)
def _installed() -> Iterator[None]:
    registry.load.cache_clear()
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "tests.tasks.bakery"]):
        yield
    registry.load.cache_clear()


async def start() -> None:
    with ThreadPoolExecutor(1) as threads:
        await DeclaredSchedules(threads).run()


def names() -> set[str]:
    return set(Schedule.objects.values_list("name", flat=True))


async def test_the_declared_schedules_are_stored(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "taskmaster"):
        await start()
    assert await sync_to_async(names)() == NAMES
    assert {record.__dict__["schedule"] for record in caplog.records} == NAMES


async def test_a_name_of_the_console_is_logged_and_the_others_are_stored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fields = {"name": "clean", "command": "true", "interval_s": 60}
    await sync_to_async(service.create)(fields, user=None)
    await start()
    assert await sync_to_async(names)() == NAMES
    [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.getMessage() == "a declared schedule was refused"
    assert record.__dict__["schedule"] == "clean"
    assert record.__dict__["declared_in"].startswith("tests/tasks/bakery/schedules.py:")


async def test_a_wrong_declaration_is_logged_and_not_raised(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bakery, "schedules", [Cron("@daily")])
    await start()
    [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.getMessage() == "the declared schedules are invalid"
    assert "schedules[0]: has no task" in record.__dict__["error"]


async def test_an_outage_of_the_database_is_retried(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    outages = [OperationalError("the connection is closed")]

    def sync_after_outage(*, end: bool) -> SyncReport:
        if outages:
            raise outages.pop()
        return sync(end=end)

    monkeypatch.setattr(declared_schedules, "sync", sync_after_outage)
    await start()
    assert await sync_to_async(names)() == NAMES
    assert "cannot store the declared schedules; retrying" in caplog.messages


async def test_a_starting_process_stores_them() -> None:
    port = free_port()
    task = asyncio.create_task(Process(Settings(), "127.0.0.1", port).run())
    try:
        await serving(f"127.0.0.1:{port}")
        async with asyncio.timeout(20):
            while await sync_to_async(names)() != NAMES:
                await asyncio.sleep(0.05)
    finally:
        signal.raise_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            await task
