"""The verbs of an operation on many tasks: preview, confirm, cancel."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Protocol

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.utils import timezone

from tasks.bulk.actions import RULES, Action
from tasks.bulk.selection import Count, changeable, count, named
from tasks.bulk.wanted import Wanted
from tasks.errors import IllegalTransition, NotAllowed, OperationNotFound
from tasks.events.event import Kind, NewEvent
from tasks.events.publish import publish
from tasks.models import Operation
from tasks.models.operation import State
from tasks.permissions import require
from tasks.search import newest_id

#: Tells the coordinators that there is an operation to run.
CHANNEL = "taskmaster_operation"
#: A preview that nobody confirms is forgotten after this time.
_PREVIEW_LIFE = timedelta(days=1)


class User(Protocol):
    """What is needed of `django.contrib.auth` here."""

    @property
    def pk(self) -> Any:
        """The id."""

    def has_perm(self, perm: str) -> bool:
        """Whether the user has this permission."""

    def get_username(self) -> str:
        """The name."""


def counted(wanted: Wanted, user: User | None, *, using: str = DEFAULT_DB_ALIAS) -> Count:
    """How many tasks the action would change; stores nothing. Raises NotAllowed.

    `user`: None for the command line, which may do everything.
    """
    _require(user, wanted.action)
    return _counted(wanted, newest_id(using), using)


def preview(wanted: Wanted, user: User | None, *, using: str = DEFAULT_DB_ALIAS) -> Operation:
    """Stores the operation with the count of tasks that it would change. Raises NotAllowed.

    It does nothing until it is confirmed; tasks that are submitted later are not touched.
    """
    _require(user, wanted.action)
    operations = Operation.objects.using(using)
    stale = timezone.now() - _PREVIEW_LIFE
    operations.filter(state=State.PREVIEW, created_at__lt=stale).delete()
    upper_id = wanted.ids[-1] if wanted.ids is not None else newest_id(using)
    found = _counted(wanted, upper_id, using)
    operation = operations.create(
        action=wanted.action,
        filter=wanted.filter,
        ids=wanted.ids,
        queue=wanted.queue,
        priority=wanted.priority,
        total=found.number,
        at_least=found.at_least,
        upper_id=upper_id,
        # The history before the first of them need not be walked through. Of named tasks each is
        # looked at, for the reason why it is refused.
        cursor=max(0, found.first_id - 1) if wanted.ids is None else 0,
        created_by_id=user.pk if user is not None else None,
        user=_name(user),
    )
    operation.refresh_from_db(fields=["created_at"])
    return operation


def confirm(operation_id: int, user: User | None, *, using: str = DEFAULT_DB_ALIAS) -> Operation:
    """Lets the coordinators begin.

    Raises OperationNotFound, IllegalTransition for what is no preview, or NotAllowed without the
    permission, and for a preview of somebody else: it runs with the rights of who has made it.
    """
    with transaction.atomic(using):
        operation = _locked(operation_id, using)
        _require(user, Action(operation.action))
        if operation.created_by_id != (user.pk if user is not None else None):
            raise NotAllowed(f"Only who has made it can confirm operation {operation_id}.")
        if operation.state != State.PREVIEW:
            raise IllegalTransition(
                f"Operation {operation_id} is {operation.state}: it was confirmed or cancelled."
            )
        operation.state = State.QUEUED
        operation.confirmed_at = timezone.now()
        operation.save(using=using, update_fields=["state", "confirmed_at"])
        with connections[using].cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])
        tell(operation, f"began to {operation.intent}", operation.user, using=using)
    return operation


def start(wanted: Wanted, user: User | None, *, using: str = DEFAULT_DB_ALIAS) -> Operation:
    """Preview and confirmation in one. Raises NotAllowed."""
    return confirm(preview(wanted, user, using=using).pk, user, using=using)


def cancel(operation_id: int, user: User | None, *, using: str = DEFAULT_DB_ALIAS) -> Operation:
    """Ends it: a chunk under way is finished, and what is done stays done.

    Raises OperationNotFound, IllegalTransition when it has ended, or NotAllowed.
    """
    with transaction.atomic(using):
        operation = _locked(operation_id, using)
        _require(user, Action(operation.action))
        if operation.state != State.PREVIEW and not operation.active:
            raise IllegalTransition(
                f"Operation {operation_id} is {operation.state}: it cannot be cancelled any more."
            )
        was_active = operation.active
        operation.state = State.CANCELLED
        operation.cancelled_by = _name(user)
        operation.finished_at = timezone.now()
        operation.save(using=using, update_fields=["state", "cancelled_by", "finished_at"])
        if was_active:
            text = f"stopped an operation that {operation.outcome}"
            tell(operation, text, _name(user), using=using)
    return operation


def tell(operation: Operation, text: str, by: str, *, using: str) -> None:
    """Publishes what becomes of an operation."""
    publish([event_of(operation, text, by)], using=using)


def event_of(operation: Operation, text: str, by: str) -> NewEvent:
    """`count`: how many tasks it is about."""
    number = operation.total if operation.state == State.QUEUED else operation.done
    return NewEvent(Kind.OPERATOR, text, user=by, count=min(number, 2**31 - 1))


def _counted(wanted: Wanted, upper_id: int, using: str) -> Count:
    tasks = named(wanted.filter, wanted.ids, using, newest=upper_id)
    tasks = changeable(tasks, wanted.action)
    return count(tasks, upper_id, using)


def _locked(operation_id: int, using: str) -> Operation:
    operations = Operation.objects.using(using).select_for_update()
    operation = operations.filter(pk=operation_id).first()
    if operation is None:
        raise OperationNotFound(operation_id)
    return operation


def _require(user: User | None, action: Action) -> None:
    if user is not None:
        require(user, RULES[action].permission)


def _name(user: User | None) -> str:
    return user.get_username() if user is not None else ""
