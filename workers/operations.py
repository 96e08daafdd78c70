"""What an operator asks of a worker: drain, and take that back."""

from __future__ import annotations

from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections

from tasks.errors import IllegalTransition, InvalidField, NotFound
from tasks.statements import statement
from workers.models import Worker, WorkerStatus


class WorkerNotFound(NotFound):
    """No worker has this id or name. HTTP 404."""

    def __init__(self, worker: object) -> None:
        super().__init__(f"There is no worker {worker}.")


def find(text: str) -> UUID:
    """The id of the worker of this id, or of the one of this name that is not offline.

    Raises WorkerNotFound, or InvalidField when several of this name are there.
    """
    try:
        return UUID(text)
    except ValueError:
        pass
    alive = Worker.objects.filter(name=text).exclude(status=WorkerStatus.OFFLINE)
    ids = list(alive.values_list("pk", flat=True)[:2])
    if not ids:
        raise WorkerNotFound(text)
    if len(ids) > 1:
        raise InvalidField("worker", f"several are called {text!r}; give the id of one.")
    return ids[0]


def drain(worker_id: UUID, *, using: str = DEFAULT_DB_ALIAS) -> None:
    """It takes nothing new, finishes what it runs, and goes offline then.

    Raises WorkerNotFound, or IllegalTransition when it is offline already.
    """
    _desire(worker_id, True, using)


def undrain(worker_id: UUID, *, using: str = DEFAULT_DB_ALIAS) -> None:
    """It takes tasks again, unless it has gone offline. Raises as `drain` does."""
    _desire(worker_id, False, using)


def _desire(worker_id: UUID, wanted: bool, using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(statement("desire", "workers.sql"), {"id": worker_id, "drain": wanted})
        if cursor.fetchone() is not None:
            return
    if not Worker.objects.using(using).filter(pk=worker_id).exists():
        raise WorkerNotFound(worker_id)
    raise IllegalTransition(f"Worker {worker_id} is offline: there is nothing to drain.")
