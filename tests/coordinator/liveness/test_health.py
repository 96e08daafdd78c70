"""Test which problems the health monitor finds, and what it writes to the heartbeat."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest

from taskmaster.coordinator.dispatch import Dispatching
from taskmaster.coordinator.dispatch.offer_tokens import OfferTokens
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.listener import PROBE_S, Listener
from taskmaster.coordinator.liveness import health as module
from taskmaster.coordinator.liveness.health import HealthMonitor
from taskmaster.coordinator.reports import Reporting
from taskmaster.coordinator.store import Identity
from taskmaster.coordinator.support.database import Database, conninfo
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.messages import Lease
from tests.coordinator.sample import Clock, claimed, connected, sign
from tests.waiting import until

CONF = Settings()


class Parts:
    """A health monitor and the parts that it watches, none of them running."""

    def __init__(self) -> None:
        self.clock = clock = Clock()
        self.changes: list[bool] = []
        identity = Identity(uuid4(), "127.0.0.1:1", "here", 1)
        self.database = Database(conninfo(), CONF)
        publisher = EventPublisher(self.database)
        self.flusher = Reporting.build(
            CONF,
            identity,
            self.database,
            publisher,
            on_pending=lambda: None,
            tokens=OfferTokens(self.database),
        ).flusher
        self.flusher._clock = clock
        self.dispatching = Dispatching.build(
            CONF,
            identity,
            self.database,
            publisher,
            on_release=lambda _: None,
            on_release_held=lambda _: None,
            on_refuse=lambda *_: None,
            acknowledgements_late=lambda: False,
            sign=sign,
            is_leader=lambda: False,
        )
        unused: Any = None
        self.listener = Listener(
            "",
            identity.id,
            self.database.outage,
            on_wake=unused,
            on_cancel=unused,
            on_command=unused,
            on_watch=unused,
            on_operation=unused,
            on_pool=unused,
            on_schedule=unused,
            on_pause=unused,
            on_connect=unused,
            notify=unused,
            leading=asyncio.Event(),
        )
        self.health = HealthMonitor(
            CONF,
            self.database,
            self.dispatching,
            self.flusher,
            self.listener,
            on_change=self._record_change,
            clock=clock,
        )

    async def _record_change(self, healthy: bool) -> None:
        self.changes.append(healthy)


@pytest.fixture
async def parts() -> Parts:
    return Parts()


async def test_a_coordinator_that_makes_progress_has_no_problem(parts: Parts) -> None:
    parts.clock.now += 1_000
    parts.dispatching.claimer.succeeded_at = parts.listener.heard_at = parts.clock.now - 1
    assert parts.health._find_problems() == []


async def test_missing_progress_is_a_problem_with_its_duration(parts: Parts) -> None:
    parts.flusher.release([Lease(1, 1)])
    parts.clock.now += PROBE_S + 11
    assert parts.health._find_problems() == [
        "no claim succeeded for 71 s",
        "reports have not been written for 71 s",
        "no NOTIFY arrived for 71 s",
    ]


async def test_a_late_event_loop_is_a_problem(parts: Parts) -> None:
    parts.health._lag_ms = 2_300
    assert parts.health._find_problems() == ["the event loop was 2.3 s late"]


async def test_the_first_problem_and_its_end_are_logged_and_reported(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_CHECK_S", 0.01)
    caplog.set_level("INFO")
    running = asyncio.create_task(parts.health.run())
    parts.clock.now += 31
    await until(lambda: parts.changes)
    assert parts.health.heartbeat().health_problem == "no claim succeeded for 31 s"
    parts.dispatching.claimer.succeeded_at = parts.clock.now
    await until(lambda: len(parts.changes) == 2)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert parts.changes == [False, True]
    assert caplog.messages == ["coordinator is unhealthy", "coordinator is healthy again"]
    assert parts.health.problem == ""


async def test_the_heartbeat_contains_counts_and_ages(parts: Parts) -> None:
    connected(parts.dispatching.dispatcher, slots=2)
    parts.dispatching.dispatcher.offer([claimed(), claimed()])
    parts.dispatching.lookahead.push([claimed(due_in_s=20.0)])
    parts.dispatching.claimer.succeeded_at = parts.clock.now
    parts.clock.now += 3
    heartbeat = parts.health.heartbeat()
    assert (heartbeat.held, heartbeat.in_flight) == (1, 2)
    assert (heartbeat.claimed_age_s, heartbeat.flushed_age_s) == (3.0, None)
