"""List the queues that filters offer, without a scan of the table of tasks."""

from __future__ import annotations

from taskmaster.tasks import registry
from taskmaster.tasks.models import Task
from taskmaster.tasks.store import sync_store as store

#: Number of newest tasks whose queues are offered.
_NEW = 1_000


def known_queues() -> list[str]:
    """Return the queues of declared, pending and recent tasks, sorted."""
    queues = {"default", *(task.queue_name for task in registry.load().values())}
    queues.update(Task.objects.order_by("-pk").values_list("queue", flat=True)[:_NEW])
    queues.update(pair.queue for pair in store.list_due_queues())
    return sorted(queues)
