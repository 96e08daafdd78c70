"""What an operator asks of a worker: drain, and take that back; stop, and kill."""

from __future__ import annotations

from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections

from tasks.errors import IllegalTransition, InvalidField, NotFound
from tasks.events.event import Kind, NewEvent
from tasks.events.publish import publish
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


def drain(worker_id: UUID, *, by: str = "", using: str = DEFAULT_DB_ALIAS) -> None:
    """It takes nothing new, finishes what it runs, and goes offline then.

    `by`: the user who asked for it, for the activity log. Raises WorkerNotFound, or
    IllegalTransition when it is offline already.
    """
    _desire(worker_id, "drain", by, using)


def undrain(worker_id: UUID, *, by: str = "", using: str = DEFAULT_DB_ALIAS) -> None:
    """It takes tasks again, unless it has gone offline or was told to stop.

    Raises as `drain` does.
    """
    _desire(worker_id, "undrain", by, using)


def stop(worker_id: UUID, *, by: str = "", using: str = DEFAULT_DB_ALIAS) -> None:
    """It does what SIGTERM does: takes nothing new, finishes what runs in the grace, leaves.

    What is not over by then is handed back. Raises as `drain` does.
    """
    _desire(worker_id, "stop", by, using)


def kill(worker_id: UUID, *, by: str = "", using: str = DEFAULT_DB_ALIAS) -> None:
    """It dies at once, as by kill -9; what it ran is rescued, and the attempts count as lost.

    The worker does it by itself, so one that hears nothing (frozen, cut off) lives on until it
    does. Raises as `drain` does.
    """
    _desire(worker_id, "kill", by, using)


def _desire(worker_id: UUID, wanted: str, by: str, using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(statement("desire", "workers.sql"), {"id": worker_id, "wanted": wanted})
        row = cursor.fetchone()
    if row is not None:
        text = f"told {row[1]} to {wanted}" if by else f"{row[1]} was told to {wanted}"
        event = NewEvent(Kind.OPERATOR, text, worker=row[1], worker_id=worker_id, user=by)
        publish([event], using=using)
        return
    worker = Worker.objects.using(using).filter(pk=worker_id).first()
    if worker is None:
        raise WorkerNotFound(worker_id)
    if worker.status == WorkerStatus.OFFLINE:
        verb = wanted.removeprefix("un")
        raise IllegalTransition(f"Worker {worker_id} is offline: there is nothing to {verb}.")
    raise IllegalTransition(
        f"Worker {worker_id} was told to {worker.command}: it takes no tasks any more."
    )
