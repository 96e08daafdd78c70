"""Define the roles, which are shipped as groups, and the permissions of each.

`taskmaster.role_groups` creates the groups. A new permission gets a line in TABLE, and one in
docs/reference/permissions.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from taskmaster.tasks import permissions as tasks
from taskmaster.workers import permissions as workers

VIEWER = "TaskMaster viewer"
OPERATOR = "TaskMaster operator"
DEVELOPER = "TaskMaster developer"
ADMIN = "TaskMaster admin"
#: Names of the groups, in the order of the documentation.
ROLES = (VIEWER, OPERATOR, DEVELOPER, ADMIN)

_ALL = frozenset(ROLES)
_OPERATE = frozenset({OPERATOR, ADMIN})
_DEVELOP = frozenset({DEVELOPER, ADMIN})
_ADMIN = frozenset({ADMIN})


@dataclass(frozen=True, slots=True)
class Grant:
    """Describe a permission, and name the roles that have it."""

    permission: str
    description: str
    roles: frozenset[str]


#: Every permission that TaskMaster checks. docs/reference/permissions.md has the same table.
TABLE = (
    Grant(tasks.VIEW, "see tasks, their output and the activity", _ALL),
    Grant(tasks.ADD, "submit tasks", _DEVELOP),
    Grant(tasks.SUBMIT_SHELL, "submit and retry shell commands", _DEVELOP),
    Grant(tasks.CHANGE, "cancel, retry and reschedule tasks", _OPERATE | _DEVELOP),
    Grant(tasks.DELETE, "delete finished tasks", _ADMIN),
    Grant(tasks.PAUSE_QUEUE, "pause and resume queues, task names and everything", _OPERATE),
    Grant(tasks.VIEW_SCHEDULE, "see schedules and their runs", _ALL),
    Grant(tasks.CHANGE_SCHEDULE, "create, change and delete schedules", _DEVELOP),
    Grant(
        tasks.RUN_SCHEDULE, "run, pause, resume, skip and back-fill schedules", _OPERATE | _DEVELOP
    ),
    Grant(workers.VIEW, "see workers and worker pools", _ALL),
    Grant(workers.CHANGE, "drain and stop workers", _OPERATE),
    Grant(workers.KILL, "kill workers", _OPERATE),
    Grant(workers.SCALE, "scale worker pools", _OPERATE),
    Grant(workers.VIEW_POOL, "see worker pools in the admin", _ALL),
    Grant(workers.ADD_POOL, "create worker pools", _ADMIN),
    Grant(workers.CHANGE_POOL, "change worker pools", _ADMIN),
    Grant(workers.SET_ENVIRONMENT, "set the environment of worker pools", _ADMIN),
    Grant(workers.DELETE_POOL, "delete worker pools", _ADMIN),
    Grant(workers.VIEW_TOKEN, "see join tokens in the admin, without the secret", _ADMIN),
    Grant(workers.MAKE_TOKEN, "make join tokens", _ADMIN),
    Grant(workers.REVOKE_TOKEN, "revoke join tokens", _ADMIN),
    Grant(tasks.VIEW_COORDINATORS, "see coordinators", _ALL),
)


def permissions_of(role: str) -> frozenset[str]:
    """Return the permissions of a role, as `app.codename`."""
    return frozenset(grant.permission for grant in TABLE if role in grant.roles)


def roles_with(permission: str) -> list[str]:
    """Return the names of the roles that have a permission."""
    granted = {role for grant in TABLE if grant.permission == permission for role in grant.roles}
    return [role for role in ROLES if role in granted]
