"""Test that an operation on a search changes the same tasks from its preview to its end."""

from __future__ import annotations

import pytest
from django.db import connection

from taskmaster.tasks.bulk.runner import run_chunk
from taskmaster.tasks.models import Task
from taskmaster.tasks.queries.search import REACH
from tests.factories import stored
from tests.tasks.bulk.sample import an_operation

pytestmark = pytest.mark.django_db


def test_new_tasks_do_not_exclude_older_ones_from_the_search() -> None:
    ids = stored(3, tags=("nightly",))
    operation = an_operation("cancel", filter={"q": "nightly"})
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval('taskmaster_tasks_task_id_seq', %s)", [ids[-1] + REACH])
    stored()
    while run_chunk() is not None:
        pass
    operation.refresh_from_db()
    assert (operation.state, operation.done) == ("complete", 3)
    assert Task.objects.filter(pk__in=ids, status="cancelled").count() == 3
