"""An operation on what a search finds: the same tasks from its preview to its end."""

from __future__ import annotations

import pytest
from django.db import connection

from tasks.bulk.chunk import run_chunk
from tasks.models import Task
from tasks.search import REACH
from tests.tasks.bulk.sample import an_operation
from tests.tasks.sample import stored

pytestmark = pytest.mark.django_db


def test_tasks_that_come_meanwhile_push_none_out_of_reach() -> None:
    ids = stored(3, tags=("nightly",))
    operation = an_operation("cancel", filter={"q": "nightly"})
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval('tasks_task_id_seq', %s)", [ids[-1] + REACH])
    stored()
    while run_chunk() is not None:
        pass
    operation.refresh_from_db()
    assert (operation.state, operation.done) == ("complete", 3)
    assert Task.objects.filter(pk__in=ids, status="cancelled").count() == 3
