"""Test the groups of the roles: created by migrations, kept as an administrator changes them."""

from __future__ import annotations

import io
import json

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.db.models.signals import post_migrate

from taskmaster import role_groups
from taskmaster.roles import ADMIN, OPERATOR, ROLES, VIEWER, permissions_of

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    """Run `manage.py taskmaster roles` and return its output."""
    out = io.StringIO()
    call_command("taskmaster", "roles", *arguments, stdout=out)
    return out.getvalue()


def granted(role: str) -> set[str]:
    return {
        f"{each.content_type.app_label}.{each.codename}"
        for each in Permission.objects.filter(group__name=role).select_related("content_type")
    }


def migrate() -> None:
    """Send what `migrate` sends when it has ended."""
    for config in apps.get_app_configs():
        post_migrate.send(
            config, app_config=config, verbosity=0, interactive=False, using="default", apps=apps
        )


def test_migrations_have_created_a_group_for_each_role() -> None:
    for role in ROLES:
        assert granted(role) == permissions_of(role)


def test_the_groups_are_created_although_no_permission_exists_yet() -> None:
    Group.objects.all().delete()
    Permission.objects.all().delete()
    migrate()
    for role in ROLES:
        assert granted(role) == permissions_of(role)


def test_migrations_do_not_change_a_group_that_exists() -> None:
    viewer = Group.objects.get(name=VIEWER)
    viewer.permissions.set([Permission.objects.get(codename="add_user")])
    Group.objects.get(name=OPERATOR).delete()
    migrate()
    assert granted(VIEWER) == {"auth.add_user"}
    assert granted(OPERATOR) == permissions_of(OPERATOR)


def test_the_command_shows_differences_and_resets_them_on_request_only() -> None:
    viewer = Group.objects.get(name=VIEWER)
    viewer.permissions.add(Permission.objects.get(codename="add_user"))
    viewer.permissions.remove(Permission.objects.get(codename="view_worker"))
    member = User.objects.create_user("eve")
    member.groups.add(viewer)
    Group.objects.get(name=ADMIN).delete()
    before = granted(VIEWER)
    lines = dict(line.split("  ", 1) for line in run().splitlines())
    assert lines[VIEWER].strip() == (
        "lacks taskmaster_workers.view_worker; has auth.add_user in addition"
    )
    assert lines[OPERATOR].strip() == "as shipped"
    assert lines[ADMIN].strip() == "does not exist; --reset creates it"
    assert granted(VIEWER) == before
    for _ in range(2):
        found = json.loads(run("--reset", "--json"))
        assert found == [{"role": role, "exists": True, "lacks": [], "extra": []} for role in ROLES]
    assert granted(VIEWER) == permissions_of(VIEWER)
    assert member.groups.get() == viewer


def test_no_group_is_created_before_all_permissions_exist() -> None:
    Group.objects.all().delete()
    Permission.objects.filter(content_type__app_label="taskmaster_coordinator").delete()
    role_groups.create_after_migrate(apps.get_app_config("taskmaster_tasks"), verbosity=0)
    assert not Group.objects.exists()
    role_groups.create_after_migrate(apps.get_app_config("taskmaster_coordinator"), verbosity=0)
    assert Group.objects.count() == len(ROLES)
