"""Name the permissions for workers, pools and join tokens."""

from __future__ import annotations

from collections.abc import Mapping

from taskmaster.tasks.permissions import User, require

#: View workers and their pools.
VIEW = "taskmaster_workers.view_worker"
#: Drain, undrain and stop workers.
CHANGE = "taskmaster_workers.change_worker"
KILL = "taskmaster_workers.kill_worker"
#: Set the desired number of workers of a pool, and none of its other fields.
SCALE = "taskmaster_workers.scale_pool"
#: View pools in the admin. All other interfaces check VIEW.
VIEW_POOL = "taskmaster_workers.view_workerpool"
ADD_POOL = "taskmaster_workers.add_workerpool"
CHANGE_POOL = "taskmaster_workers.change_workerpool"
#: Set the environment of a pool, in addition to ADD_POOL or CHANGE_POOL.
SET_ENVIRONMENT = "taskmaster_workers.set_pool_environment"
DELETE_POOL = "taskmaster_workers.delete_workerpool"
#: View join tokens in the admin, without their secrets.
VIEW_TOKEN = "taskmaster_workers.view_jointoken"
#: Create and revoke join tokens.
MAKE_TOKEN = "taskmaster_workers.add_jointoken"
REVOKE_TOKEN = "taskmaster_workers.change_jointoken"


def check_pool_fields(user: User, fields: Mapping[str, object], *, new: bool) -> None:
    """Raise NotAllowed unless the user may set these fields of a new or an existing pool.

    A new pool without `desired` gets `minimum` workers.
    """
    scaling = {"desired", "minimum"} if new else {"desired"}
    if not new:
        require(user, VIEW)
    if new or set(fields) - {"desired"}:
        require(user, ADD_POOL if new else CHANGE_POOL)
    if any(field in fields and (not new or fields[field] != 0) for field in scaling):
        require(user, SCALE)
    if "environment" in fields:
        require(user, SET_ENVIRONMENT)
