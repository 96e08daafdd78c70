"""Test that the links to database, coordinators and workers are observed as they are."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError
from django.utils import timezone

from taskmaster.coordinator.models import Coordinator
from taskmaster.taskmaster_site.live import link_monitor
from taskmaster.taskmaster_site.live.link_monitor import LinkMonitor
from taskmaster.workers.models import Worker
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


class Watched:
    """A monitor with a reader, a manual clock, and the number of changes that it reported."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.read = True
        self.changes = 0
        self.monitor = LinkMonitor(
            has_readers=lambda: self.read, on_change=self._count, clock=lambda: self.now
        )

    def _count(self) -> None:
        self.changes += 1

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.monitor.text())
        return found


@asynccontextmanager
async def watching(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    monkeypatch.setattr(link_monitor, "_INTERVAL_S", 0.02)
    watched = Watched()
    running = asyncio.create_task(watched.monitor.run())
    try:
        yield watched
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def a_coordinator(seconds: float, *, online: bool = True) -> None:
    await Coordinator.objects.acreate(
        id=uuid4(), lock_key=1, address="127.0.0.1:1", host="h", pid=1, online=online,
        last_seen_at=timezone.now() - timedelta(seconds=seconds),
    )  # fmt: skip


async def a_worker(seconds: float, status: str = "online") -> None:
    await Worker.objects.acreate(
        id=uuid4(), name="heron", host="h", pid=1, slots=1, executor="process", status=status,
        last_seen_at=timezone.now() - timedelta(seconds=seconds),
    )  # fmt: skip


async def test_the_oldest_sign_of_life_and_the_silent_processes_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for seconds in (0, 5):
        await a_coordinator(seconds)
    await a_coordinator(100, online=False)
    for seconds in (1, 9):
        await a_worker(seconds)
    await a_worker(100, "offline")
    async with watching(monkeypatch) as watched:
        await until(lambda: watched.changes)
        state = watched.state
    assert state["database"] == {"age_s": 0.0, "error": ""}
    # A coordinator is silent after 2.5 s, a worker after two heartbeats of 5 s.
    assert (state["coordinators"]["online"], state["coordinators"]["silent"]) == (2, 1)
    assert 5 <= state["coordinators"]["age_s"] < 60
    assert (state["workers"]["online"], state["workers"]["silent"]) == (2, 0)
    assert 9 <= state["workers"]["age_s"] < 60


async def test_without_an_online_process_the_age_is_that_of_the_last_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await a_coordinator(300, online=False)
    await a_coordinator(100, online=False)
    async with watching(monkeypatch) as watched:
        await until(lambda: watched.changes)
        state = watched.state
    assert (state["coordinators"]["online"], state["workers"]["online"]) == (0, 0)
    assert 100 <= state["coordinators"]["age_s"] < 200
    assert state["workers"]["age_s"] is None


async def test_a_process_that_falls_silent_is_a_change_and_its_age_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await a_coordinator(0)
    async with watching(monkeypatch) as watched:
        await until(lambda: (watched.state["coordinators"] or {}).get("age_s"))
        assert (watched.changes, watched.monitor.version) == (1, 1)
        await until(lambda: watched.state["coordinators"]["silent"] == 1)
        assert (watched.changes, watched.monitor.version) == (2, 2)


async def test_an_error_of_the_database_makes_everything_behind_it_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise OperationalError("connection to server at 10.0.0.7, port 5432 failed: refused")

    await a_coordinator(0)
    async with watching(monkeypatch) as watched:
        await until(lambda: watched.changes == 1)
        with monkeypatch.context() as patch:
            patch.setattr(link_monitor, "_read", fail)
            await until(lambda: watched.changes == 2)
            # The address of the database is not sent to readers.
            assert watched.state == {
                "database": {"age_s": 0.0, "error": "connection refused"},
                "coordinators": None,
                "workers": None,
            }
        await until(lambda: watched.changes == 3)
        assert watched.state["coordinators"]["online"] == 1


async def test_a_database_that_does_not_answer_is_away_after_three_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hanging, released = threading.Event(), threading.Event()

    def hang() -> None:
        hanging.set()
        released.wait(30)
        raise OperationalError("the server closed the connection")

    async with watching(monkeypatch) as watched:
        await until(lambda: watched.changes)
        monkeypatch.setattr(link_monitor, "_read", hang)
        await until(hanging.is_set)
        watched.now += 2
        assert watched.state["database"] == {"age_s": 2.0, "error": ""}
        watched.now += 1.5
        assert watched.state["database"] == {"age_s": 3.5, "error": "no answer"}
        assert watched.state["coordinators"] is None
        released.set()
        await until(lambda: watched.state["database"]["error"] == "not reached")


async def test_without_readers_nothing_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def has_readers() -> bool:
        nonlocal asked
        asked += 1
        return False

    def read() -> None:
        raise AssertionError("checked without a reader")

    monkeypatch.setattr(link_monitor, "_INTERVAL_S", 0.01)
    monkeypatch.setattr(link_monitor, "_read", read)
    monitor = LinkMonitor(has_readers=has_readers, on_change=lambda: None)
    running = asyncio.create_task(monitor.run())
    await until(lambda: asked > 2)
    assert not running.done()
    running.cancel()
