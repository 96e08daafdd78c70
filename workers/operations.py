"""Drain, undrain, stop and kill workers on behalf of operators."""

from __future__ import annotations

import re
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q

from taskmaster.tasks.errors import IllegalTransition, InvalidField, NotFound
from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.tasks.events.publish import publish
from taskmaster.workers.models import Worker, WorkerStatus
from taskmaster.workers.models.worker import SHORT_ID
from taskmaster.workers.store import sync_store as store


class WorkerNotFound(NotFound):
    """Raised when no worker has this id or name. HTTP 404."""

    def __init__(self, worker: object) -> None:
        super().__init__(f"There is no worker {worker}.")


def find(text: str) -> UUID:
    """Return the id of a worker, given its id, its short id or its name.

    A name or short id matches workers that are not offline. Raises WorkerNotFound, or InvalidField
    when several workers have the name.
    """
    try:
        return UUID(text)
    except ValueError:
        pass
    named = Q(name=text)
    if re.fullmatch(rf"[0-9a-f]{{{SHORT_ID}}}", text):
        named |= Q(id__startswith=text)
    alive = Worker.objects.filter(named).exclude(status=WorkerStatus.OFFLINE)
    ids = list(alive.values_list("pk", flat=True)[:2])
    if not ids:
        raise WorkerNotFound(text)
    if len(ids) > 1:
        raise InvalidField("worker", f"several workers are named {text!r}; give an id.")
    return ids[0]


def drain(worker_id: UUID, *, by: str = "", using: str = DEFAULT_DB_ALIAS) -> None:
    """Drain a worker: it accepts no new tasks, finishes its running tasks and goes offline.

    `by` is the requesting user, for the activity log. Raises WorkerNotFound, or IllegalTransition
    when the worker is offline.
    """
    _request(worker_id, "drain", by, using)


def undrain(worker_id: UUID, *, by: str = "", using: str = DEFAULT_DB_ALIAS) -> None:
    """Let a draining worker accept tasks again.

    Raises the errors of `drain`, and IllegalTransition when the worker was asked to stop or to kill
    itself.
    """
    _request(worker_id, "undrain", by, using)


def stop(worker_id: UUID, *, by: str = "", using: str = DEFAULT_DB_ALIAS) -> None:
    """Stop a worker as SIGTERM does.

    It accepts no new tasks, finishes its running tasks within the grace and exits. Tasks that have
    not ended by then are handed back. Raises the errors of `drain`.
    """
    _request(worker_id, "stop", by, using)


def kill(worker_id: UUID, *, by: str = "", using: str = DEFAULT_DB_ALIAS) -> None:
    """Kill a worker as `kill -9` does.

    Its tasks are rescued, and their attempts count as lost. The worker kills itself, so a worker
    that is frozen or disconnected runs until it receives the command. Raises the errors of `drain`.
    """
    _request(worker_id, "kill", by, using)


def _request(worker_id: UUID, command: str, by: str, using: str) -> None:
    name = store.request_worker_command(worker_id, command, using=using)
    if name is not None:
        text = f"asked {name} to {command}" if by else f"{name} was asked to {command}"
        event = NewEvent(EventKind.OPERATOR, text, worker=name, worker_id=worker_id, user=by)
        publish([event], using=using)
        return
    worker = Worker.objects.using(using).filter(pk=worker_id).first()
    if worker is None:
        raise WorkerNotFound(worker_id)
    if worker.status == WorkerStatus.OFFLINE:
        verb = command.removeprefix("un")
        raise IllegalTransition(f"Worker {worker_id} is offline; it cannot {verb}.")
    raise IllegalTransition(
        f"Worker {worker_id} was asked to {worker.command}; it accepts no more tasks."
    )
