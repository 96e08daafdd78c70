"""Explain why there is no task with an id."""

from __future__ import annotations

from taskmaster.tasks import retention, shards
from taskmaster.tasks.ids import MAX_ID
from taskmaster.tasks.store import sync_store as store


def explain_missing(task_id: int) -> str:
    """Return the reasons why no task has this id, for its page.

    Deleted tasks leave no trace, so the answer depends on the age of the task with the next lower
    id: a task that is younger than the shortest retention time cannot have expired.
    """
    if task_id > MAX_ID:
        return "No task has this number yet."
    found = store.read_missing_task(task_id, using=shards.current())
    if not found.assigned:
        return "No task has this number yet."
    kept = retention.current()
    shortest = kept.shortest()
    may_have_expired = shortest is not None and (
        found.predecessor_s is None or found.predecessor_s >= shortest.total_seconds()
    )
    if not may_have_expired:
        return "It was deleted by a user, or its submission was rolled back."
    return (
        "It was deleted after its retention time, unless a user deleted it before, or its "
        f"submission was rolled back. {kept.describe()}"
    )
