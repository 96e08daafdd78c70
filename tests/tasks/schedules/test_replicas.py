"""Test that changes of schedules read the database that they write.

A project may send reads to a replica, which does not have the newest rows yet.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DEFAULT_DB_ALIAS, models
from django.test import override_settings

from taskmaster.tasks.models import Schedule, SchedulerState, ScheduleRun
from taskmaster.tasks.schedules import service
from taskmaster.tasks.schedules.sync import sync
from tests.tasks.schedules.sample import ahead, fields, left_behind

pytestmark = pytest.mark.django_db


class ReplicaRouter:
    """Fail where a read of these tables would be sent to a replica."""

    def db_for_read(self, model: type[models.Model], **_: Any) -> str | None:
        assert model not in (Schedule, ScheduleRun, SchedulerState), f"{model} may be outdated"
        return None

    def db_for_write(self, *_: object, **__: Any) -> str:
        return DEFAULT_DB_ALIAS


def test_a_change_reads_no_replica() -> None:
    schedule = service.create(fields(max_runs=3), user=None)
    ahead(schedule)
    left_behind(schedule, 1)
    router = f"{__name__}.{ReplicaRouter.__name__}"
    with override_settings(DATABASE_ROUTERS=[router]):
        service.create(fields(), user=None)
        service.update(schedule, {"priority": 3}, user=None)
        service.run_now(schedule, user=None)
        service.skip_next(schedule, "", user=None)
        service.pause(schedule, "", user=None)
        service.resume(schedule, user=None)
        service.pause_all("", user=None)
        service.resume_all(user=None)
        sync(end=True)
        service.delete(schedule, user=None)
