"""Test the content of the health check, and that it names no coordinators."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from taskmaster.coordinator.models import Coordinator

pytestmark = pytest.mark.django_db


def test_the_health_check_needs_no_login_and_contains_little() -> None:
    answer = Client().get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "coordinators": []})


def test_the_health_check_counts_coordinators_without_naming_them() -> None:
    now = timezone.now()
    ages = {"heard_at": now, "claimed_at": now, "flushed_at": None}
    for problem in ("", "no claim succeeded for 40 s"):
        Coordinator.objects.create(
            id=uuid4(),
            lock_key=1,
            address="10.9.8.7:1",
            host="h",
            pid=1,
            health_problem=problem,
            **ages,
        )
    Coordinator.objects.create(
        id=uuid4(), lock_key=1, address="a", host="h", pid=1, online=False, **ages
    )
    frozen = Coordinator.objects.create(id=uuid4(), lock_key=1, address="a", host="h", pid=1)
    Coordinator.objects.filter(pk=frozen.pk).update(last_seen_at=now - timedelta(seconds=20))
    answer = Client().get("/healthz")
    assert "10.9.8.7" not in answer.content.decode()
    found = answer.json()["coordinators"]
    assert sorted(each["well"] for each in found) == [False, False, True]
    well = next(each for each in found if each["well"])
    assert well.keys() == {
        "well", "health_problem", "loop_lag_ms", "seen_s", "heard_s", "claimed_s", "flushed_s",
    }  # fmt: skip
    assert well["flushed_s"] is None
