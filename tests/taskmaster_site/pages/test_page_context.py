"""The template context of the dashboard's fragments."""

from __future__ import annotations

from uuid import uuid4

import pytest

from taskmaster.coordinator.models import Coordinator
from taskmaster.taskmaster_site.pages import page_context
from taskmaster.workers.models import WorkerPool

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
