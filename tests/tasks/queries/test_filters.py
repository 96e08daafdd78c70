"""Test the plan of the filter by schedule."""

from __future__ import annotations

import pytest
from django.db import connection

from taskmaster.tasks.models import Task
from taskmaster.tasks.queries.filters import ListedTaskFilter
from tests.factories import in_s
from tests.schedule_rows import a_run, nightly

pytestmark = pytest.mark.django_db


def test_an_index_serves_the_filter_by_schedule_and_its_order() -> None:
    schedule = nightly()
    for seconds in (-60, -30):
        a_run(schedule, in_s(seconds), status="complete")
    with connection.cursor() as cursor:
        # The table is small, so the planner would read all of it.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
    found = ListedTaskFilter({"schedule": schedule.name}, queryset=Task.objects.order_by("-pk")).qs
    plan = found.explain()
    assert "taskmaster_tasks_of_schedule" in plan
    assert "Sort" not in plan
