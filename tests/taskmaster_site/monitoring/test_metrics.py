"""Test the metrics for Prometheus and their permissions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from examples.tasks import add
from taskmaster.coordinator.models import Coordinator
from taskmaster.tasks.enqueue import bulk, new
from taskmaster.tasks.models import SchedulerState, Task
from taskmaster.tasks.permissions import VIEW
from taskmaster.workers.models import Worker, WorkerPool
from tests.factories import a_schedule, token_header, user_with

pytestmark = pytest.mark.django_db


@pytest.fixture
def viewer() -> User:
    user = User.objects.create_user("prometheus")
    user.user_permissions.add(Permission.objects.get(codename="view_task"))
    return user


def _scrape(
    user: User, accept: str = "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
) -> dict[Any, float]:
    answer = Client().get("/metrics", headers={**token_header(user), "Accept": accept})
    assert answer.status_code == 200, answer.content
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


def test_depth_and_wait_of_each_queue_match_the_table(viewer: User) -> None:
    now = timezone.now()
    bulk([new(add, 1, 2, queue="mail")] * 3)
    Task.objects.update(scheduled_at=now - timedelta(seconds=90))
    bulk([new(add, 1, 2, queue="mail", scheduled_at=now + timedelta(hours=1))] * 2)
    figures = _scrape(viewer)
    assert figures["taskmaster_queue_due", "mail"] == 3
    assert figures["taskmaster_queue_pending", "mail"] == 5
    assert 90 <= figures["taskmaster_queue_wait_seconds", "mail"] < 100
    assert figures["taskmaster_tasks", "due"] == 3
    # For an autoscaler, a missing value and zero are different.
    assert figures["taskmaster_queue_due", "default"] == 0
    assert figures["taskmaster_queue_wait_seconds", "default"] == 0


def test_online_workers_slots_and_coordinators_are_counted(viewer: User) -> None:
    for status in ("online", "online", "draining", "offline"):
        Worker.objects.create(
            id=uuid4(), name="w", host="h", pid=1, status=status, executor="process",
            slots=4, busy=1, queues=["mail"],
        )  # fmt: skip
    for problem, online in (("", True), ("deaf", True), ("", False)):
        Coordinator.objects.create(
            id=uuid4(), lock_key=1, address="a", host="h", pid=1, connections=4,
            health_problem=problem, online=online,
        )  # fmt: skip
    figures = _scrape(viewer)
    assert figures["taskmaster_workers", "online"] == 2
    assert figures["taskmaster_workers", "draining"] == 1
    assert (figures["taskmaster_slots",], figures["taskmaster_slots_busy",]) == (12, 3)
    assert (figures["taskmaster_coordinators",], figures["taskmaster_coordinators_unhealthy",]) == (
        2,
        1,
    )
    assert figures["taskmaster_coordinator_connections",] == 8
    assert figures["taskmaster_queue_due", "mail"] == 0


def test_a_pool_has_its_desired_and_its_actual_size(viewer: User) -> None:
    WorkerPool.objects.create(name="mail", desired=5, actual=4, registered=3, draining=1)
    figures = _scrape(viewer)
    found = {key[2]: value for key, value in figures.items() if key[1:2] == ("mail",)}
    assert found == {"desired": 5, "actual": 4, "registered": 3, "draining": 1}


def test_the_most_overdue_schedule_and_the_missed_runs_are_exported() -> None:
    figures = _scrape(user_with(VIEW))
    assert figures["taskmaster_schedule_late_seconds",] == 0
    assert figures["taskmaster_schedule_missed_total",] == 0
    now = timezone.now()
    a_schedule()
    a_schedule(next_due_at=now - timedelta(seconds=600), paused_at=now)
    assert _scrape(user_with(VIEW))["taskmaster_schedule_late_seconds",] == 0
    a_schedule(next_due_at=now - timedelta(seconds=90))
    SchedulerState.objects.create(missed_total=7)
    figures = _scrape(user_with(VIEW))
    assert 90 <= figures["taskmaster_schedule_late_seconds",] < 600
    assert figures["taskmaster_schedule_missed_total",] == 7


def test_the_default_request_of_prometheus_is_answered(viewer: User) -> None:
    wanted = (
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=1.0.0;q=0.5,"
        "text/plain;version=0.0.4;q=0.4,*/*;q=0.1"
    )
    assert _scrape(viewer, wanted)["taskmaster_coordinators",] == 0


def test_metrics_need_a_token_and_the_permission() -> None:
    anonymous = Client().get("/metrics")
    assert anonymous.status_code == 401
    unprivileged = Client().get("/metrics", headers=token_header(user_with()))
    assert unprivileged.status_code == 403
    assert b"taskmaster_coordinators" not in anonymous.content + unprivileged.content
