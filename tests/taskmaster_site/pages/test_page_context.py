"""The template context of the dashboard's fragments."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from django.utils import timezone

from taskmaster.coordinator.models import Coordinator
from taskmaster.coordinator.support.database import conninfo
from taskmaster.taskmaster_site.pages import page_context
from taskmaster.taskmaster_site.pages.fragments import FRAGMENTS
from taskmaster.tasks.statements import advisory_key
from taskmaster.workers.models import Worker, WorkerPool
from tests.factories import a_worker

pytestmark = pytest.mark.django_db


def test_the_first_problem_of_a_coordinator_is_shown() -> None:
    assert "No coordinator is running" in page_context.counters()["health_problem"]
    for problem in ("", "no claim succeeded for 40 s"):
        Coordinator.objects.create(
            id=uuid4(), lock_key=1, address="a", host="h", pid=1, health_problem=problem
        )
    problem = page_context.counters()["health_problem"]
    assert problem == "A coordinator reports a problem: no claim succeeded for 40 s."
    Coordinator.objects.update(health_problem="")
    assert page_context.counters()["health_problem"] == ""


def test_a_sparkline_has_one_point_for_each_minute() -> None:
    values: list[float | None] = [None, 2.0, *[4.0] * 118]
    points = page_context._by_minute(values)
    assert len(points) == 60
    assert points[:2] == [1.0, 4.0]


def test_a_pool_offers_the_sizes_within_its_bounds() -> None:
    WorkerPool.objects.all().delete()
    WorkerPool.objects.create(name="herons", minimum=2, desired=2, maximum=5)
    [(_, steps)] = page_context.pools()["pools"]
    assert steps == [3, 5]


def a_coordinator(address: str, *, seen_s: float = 0.0, **fields: object) -> Coordinator:
    """Store a coordinator that was last seen this number of seconds ago."""
    row = Coordinator.objects.create(
        id=uuid4(), address=address, host="h", pid=1, **{"lock_key": 1, **fields}
    )
    Coordinator.objects.filter(pk=row.pk).update(
        last_seen_at=timezone.now() - timedelta(seconds=seen_s)
    )
    return row


def test_a_coordinator_that_was_not_seen_is_silent_and_shows_its_age() -> None:
    a_coordinator("a:1")
    a_coordinator("b:1", seen_s=7, health_problem="no claim succeeded for 40 s")
    a_coordinator("c:1", seen_s=9, online=False)
    shown = page_context.coordinators()["coordinators"]
    assert [(each.row.address, each.state) for each in shown] == [
        ("a:1", "online"),
        ("b:1", "silent"),
    ]
    card = FRAGMENTS["coordinators"]()
    alive, _, silent = card.partition("b:1")
    assert "seen less than 2.5 s ago" in alive
    assert "last seen <time" in silent
    assert "no claim succeeded for 40 s" in silent
    # Ages are left to the browser, so the card of a living coordinator does not change.
    Coordinator.objects.filter(address="a:1").update(last_seen_at=timezone.now())
    assert FRAGMENTS["coordinators"]() == card


def test_the_last_coordinator_is_shown_if_none_is_online() -> None:
    assert "No coordinators yet" in FRAGMENTS["coordinators"]()
    a_coordinator("a:1", seen_s=90, online=False)
    a_coordinator("b:1", seen_s=60, online=False)
    [shown] = page_context.coordinators()["coordinators"]
    assert (shown.row.address, shown.state, shown.leads) == ("b:1", "offline", False)


def test_the_coordinator_whose_session_holds_the_leader_lock_leads() -> None:
    # Keys have 64 bits and a sign.
    a_coordinator("a:1", lock_key=-5)
    a_coordinator("b:1", lock_key=2**40 + 7)
    with psycopg.connect(conninfo(), autocommit=True) as session:
        for key in (-5, advisory_key("lead")):
            session.execute("SELECT pg_advisory_lock(%s)", [key])
        shown = page_context.coordinators()["coordinators"]
        assert [(each.row.address, each.leads) for each in shown] == [("a:1", True), ("b:1", False)]


def test_the_version_of_the_list_changes_with_workers_and_coordinators_only() -> None:
    def change() -> str:
        return FRAGMENTS["worker-list"]()

    versions = [change()]
    heron = a_worker()
    versions.append(change())
    assert change() == versions[-1]
    Worker.objects.filter(pk=heron.pk).update(drain=True)
    versions.append(change())
    Worker.objects.filter(pk=heron.pk).update(status="offline")
    versions.append(change())
    a_coordinator("a:1")
    versions.append(change())
    Coordinator.objects.update(last_seen_at=timezone.now() - timedelta(seconds=9))
    versions.append(change())
    assert len(set(versions)) == 6
