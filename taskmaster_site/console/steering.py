"""What a reader of a console may do to the task. Blocks, and gives the connection back."""

from __future__ import annotations

from django.db import DatabaseError, connection
from psycopg_pool import PoolTimeout

from taskmaster_site.console.visitor import Credential
from taskmaster_site.live.guard import user_of
from tasks import operations
from tasks.errors import NotAllowed, TaskMasterError
from tasks.permissions import CHANGE, require

ACTIONS = ("cancel", "retry")


def steer(action: str, task_id: int, credential: Credential) -> tuple[bool, str]:
    """Cancels or retries for the user of today; whether that was done, and a sentence."""
    try:
        user = user_of(*credential)
        if user is None or not user.is_active:
            raise NotAllowed("You are not logged in any more.")
        require(user, CHANGE)
        if action == "cancel":
            operations.cancel(task_id, by=user.get_username())
            return True, f"Task {task_id} is cancelled."
        operations.retry_for(user, task_id)
    except TaskMasterError as refusal:
        return False, str(refusal)
    except (DatabaseError, PoolTimeout):
        return False, "The database does not answer; try again."
    else:
        return True, f"Task {task_id} is pending again."
    finally:
        connection.close()
