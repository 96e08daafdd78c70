"""Create the groups of the roles, compare them with the shipped permissions, and reset them.

`migrate` creates the groups that do not exist, and changes no other: an administrator may have
changed it. `manage.py taskmaster roles` shows the differences, `--reset` removes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, router, transaction

from taskmaster.roles import ROLES, TABLE, permissions_of

if TYPE_CHECKING:
    from django.contrib.auth.models import Group, Permission

_LABELS = frozenset(grant.permission.partition(".")[0] for grant in TABLE)


@dataclass(frozen=True, slots=True)
class Difference:
    """Compare the group of a role with its shipped permissions."""

    role: str
    exists: bool
    lacks: list[str]
    extra: list[str]

    def __str__(self) -> str:
        if not self.exists:
            return "does not exist; --reset creates it"
        lacks = [f"lacks {', '.join(self.lacks)}"] if self.lacks else []
        extra = [f"has {', '.join(self.extra)} in addition"] if self.extra else []
        return "; ".join(lacks + extra) or "as shipped"


def create_after_migrate(
    sender: Any, using: str = DEFAULT_DB_ALIAS, verbosity: int = 1, **_: Any
) -> None:
    """Create the groups that do not exist, as soon as all their permissions exist.

    Receives `post_migrate` of every app.
    """
    from django.contrib.auth.management import create_permissions
    from django.contrib.auth.models import Group

    if sender.label not in _LABELS or not router.allow_migrate_model(using, Group):
        return
    existing = set(Group.objects.using(using).filter(name__in=ROLES).values_list("name", flat=True))
    missing = [role for role in ROLES if role not in existing]
    if not missing:
        return
    # The receiver of django.contrib.auth, which creates them, may be called after this one.
    create_permissions(sender, verbosity=0, using=using)
    permissions = _permissions(using)
    if len(permissions) < len(TABLE):
        return
    with transaction.atomic(using=using):
        for role in missing:
            _set(Group.objects.using(using).create(name=role), role, permissions)
    if verbosity:
        print(f"Created the groups {', '.join(missing)}")


def compare() -> list[Difference]:
    """Compare every role with its group."""
    from django.contrib.auth.models import Group

    groups = {
        group.name: {_name(each) for each in group.permissions.select_related("content_type")}
        for group in Group.objects.filter(name__in=ROLES)
    }
    return [
        Difference(
            role,
            role in groups,
            sorted(permissions_of(role) - groups.get(role, set())),
            sorted(groups.get(role, set()) - permissions_of(role)),
        )
        for role in ROLES
    ]


def reset() -> None:
    """Give every role exactly its shipped permissions. Members of the groups stay."""
    from django.contrib.auth.models import Group

    permissions = _permissions(DEFAULT_DB_ALIAS)
    with transaction.atomic():
        for role in ROLES:
            _set(Group.objects.get_or_create(name=role)[0], role, permissions)


def _set(group: Group, role: str, permissions: Mapping[str, Permission]) -> None:
    group.permissions.set([permissions[name] for name in permissions_of(role)])


def _permissions(using: str) -> dict[str, Permission]:
    """Return the permissions of the table that exist, by `app.codename`."""
    from django.contrib.auth.models import Permission

    names = {grant.permission for grant in TABLE}
    found = Permission.objects.using(using).filter(content_type__app_label__in=_LABELS)
    return {
        _name(each): each for each in found.select_related("content_type") if _name(each) in names
    }


def _name(permission: Permission) -> str:
    return f"{permission.content_type.app_label}.{permission.codename}"
