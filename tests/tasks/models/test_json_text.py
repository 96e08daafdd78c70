"""Test the queries of a project on arguments and results, which are stored as text."""

from __future__ import annotations

import pytest
from django.db.models.fields.json import KT
from django.db.models.functions import Length

from taskmaster.tasks.models import Task
from tests.factories import stored

pytestmark = pytest.mark.django_db

ARGS = [1e16, -0.0, 1e300, {"zeta": 1, "alpha": [None, True]}]


def test_values_come_back_as_they_were_saved() -> None:
    one = Task.objects.create(name="shell", args=ARGS, result=ARGS, max_attempts=1, timeout_s=0)
    many = Task.objects.bulk_create(
        Task(name="shell", args=ARGS, kwargs={"n": n}, max_attempts=1, timeout_s=0)
        for n in range(2)
    )
    Task.objects.filter(pk=many[0].pk).update(result=ARGS)
    for task in Task.objects.all():
        assert repr(task.args) == repr(ARGS)
    results = [repr(each) for each in Task.objects.values_list("result", flat=True).order_by("pk")]
    assert results == [repr(ARGS), repr(ARGS), repr(None)]
    assert Task.objects.get(pk=one.pk).kwargs == {}


def test_lookups_compare_values_and_not_texts() -> None:
    [task] = stored(kwargs='{"command":"true","env":{"B":"2","A":"1"}}')
    stored(kwargs='{"command":"false"}')
    for condition in (
        {"kwargs": {"env": {"A": "1", "B": "2"}, "command": "true"}},
        {"kwargs__command": "true"},
        {"kwargs__env__A": "1"},
        {"kwargs__contains": {"env": {"A": "1"}}},
        {"kwargs__has_key": "env"},
        {"kwargs__command__startswith": "tr"},
        {"kwargs__env__isnull": False},
    ):
        assert [each.pk for each in Task.objects.filter(**condition)] == [task], condition
    assert Task.objects.filter(result__isnull=True).count() == 2
    assert set(Task.objects.values_list("kwargs__command", flat=True)) == {"true", "false"}
    longest = Task.objects.annotate(length=Length(KT("kwargs__command"))).latest("length")
    assert longest.kwargs == {"command": "false"}
