"""Test that a test with `transaction=True` leaves the database as `migrate` created it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection

from taskmaster.roles import ROLES
from taskmaster.tasks.models import Task
from tests.factories import stored
from tests.table_reset import TableReset

pytestmark = pytest.mark.django_db(transaction=True)


def test_rows_of_the_test_are_removed() -> None:
    reset = TableReset()
    stored(2)
    User.objects.create_user("ann").groups.add(Group.objects.get(name=ROLES[0]))
    reset.run()
    assert not Task.objects.exists()
    assert not User.objects.exists()
    assert not User.groups.through.objects.exists()


def test_rows_of_migrate_are_kept() -> None:
    before = sorted(Group.objects.values_list("pk", "name"))
    reset = TableReset()
    stored()
    reset.run()
    assert sorted(Group.objects.values_list("pk", "name")) == before


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM auth_group_permissions",
        "UPDATE auth_group SET name = name || ' of the test'",
        "INSERT INTO auth_group (name) VALUES ('auditors')",
    ],
)
def test_changed_rows_of_migrate_are_restored(statement: str) -> None:
    reset = TableReset()
    with connection.cursor() as cursor:
        cursor.execute(statement)
    reset.run()
    assert {group.name for group in Group.objects.all()} == set(ROLES)
    assert all(group.permissions.exists() for group in Group.objects.all())
