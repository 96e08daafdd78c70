"""Cancel or retry a task from its console. Blocks, and closes its database connection."""

from __future__ import annotations

from django.db import DatabaseError, connection
from psycopg_pool import PoolTimeout

from taskmaster.taskmaster_site.live.reauthorize import user_of
from taskmaster.tasks import task_actions
from taskmaster.tasks.errors import NotAllowed, TaskMasterError
from taskmaster.tasks.events.channels import Credential
from taskmaster.tasks.permissions import CHANGE, VIEW, require

ACTIONS = ("cancel", "retry")


def apply(action: str, task_id: int, credential: Credential) -> tuple[bool, str]:
    """Cancel or retry a task for the credential's current user.

    Returns whether it succeeded, and a sentence for the user.
    """
    try:
        user = user_of(*credential)
        if user is None or not user.is_active:
            raise NotAllowed("You are no longer logged in.")
        require(user, VIEW, CHANGE)
        if action == "cancel":
            task_actions.cancel(task_id, by=user.get_username())
            return True, f"Task {task_id} was cancelled."
        task_actions.retry_for(user, task_id)
    except TaskMasterError as error:
        return False, str(error)
    except (DatabaseError, PoolTimeout):
        return False, "Database unavailable; retry later."
    else:
        return True, f"Task {task_id} is pending again."
    finally:
        connection.close()
