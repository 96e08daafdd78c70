"""Preview, confirm and cancel bulk operations."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Protocol

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import QuerySet
from django.utils import timezone

from taskmaster.tasks.bulk.request import BulkRequest
from taskmaster.tasks.bulk.selection import TaskCount, changeable, count, select_tasks
from taskmaster.tasks.bulk_actions import RULES, Action
from taskmaster.tasks.errors import IllegalTransition, NotAllowed, OperationNotFound
from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.tasks.events.publish import publish
from taskmaster.tasks.models import Operation
from taskmaster.tasks.models.operation import OperationState
from taskmaster.tasks.permissions import VIEW, require
from taskmaster.tasks.queries.search import newest_id

#: Notify channel that wakes the coordinators for a confirmed operation.
CHANNEL = "taskmaster_operation"
#: Age after which an unconfirmed preview is deleted.
_PREVIEW_LIFE = timedelta(days=1)


class OperationUser(Protocol):
    """Declare the part of a `django.contrib.auth` user that this module needs."""

    @property
    def pk(self) -> Any:
        """Return the primary key."""

    def has_perm(self, perm: str) -> bool:
        """Return whether the user has this permission."""

    def get_username(self) -> str:
        """Return the user name."""


def count_tasks(
    request: BulkRequest, user: OperationUser | None, *, using: str = DEFAULT_DB_ALIAS
) -> TaskCount:
    """Count the tasks that the action would change, without storing an operation.

    `user` is None for the command line, which has all permissions. Raises NotAllowed.
    """
    _require_permission(user, request.action)
    return _count(request, newest_id(using), using)


def preview(
    request: BulkRequest, user: OperationUser | None, *, using: str = DEFAULT_DB_ALIAS
) -> Operation:
    """Store an operation in state preview, with the count of tasks that it would change.

    It does nothing until it is confirmed. With a filter, it ignores tasks submitted after the
    preview. Also deletes unconfirmed previews that are older than a day. Raises NotAllowed.
    """
    _require_permission(user, request.action)
    operations = Operation.objects.using(using)
    stale = timezone.now() - _PREVIEW_LIFE
    operations.filter(state=OperationState.PREVIEW, created_at__lt=stale).delete()
    upper_id = request.ids[-1] if request.ids is not None else newest_id(using)
    found = _count(request, upper_id, using)
    operation = operations.create(
        action=request.action,
        filter=request.filter,
        ids=request.ids,
        queue=request.queue,
        priority=request.priority,
        total=found.number,
        at_least=found.at_least,
        upper_id=upper_id,
        # With a filter, start at the first match and skip the older tasks. With ids, examine every
        # task, because each refusal needs its reason.
        cursor=max(0, found.first_id - 1) if request.ids is None else 0,
        created_by_id=user.pk if user is not None else None,
        user=_username(user),
    )
    operation.refresh_from_db(fields=["created_at"])
    return operation


def confirm(
    operation_id: int, user: OperationUser | None, *, using: str = DEFAULT_DB_ALIAS
) -> Operation:
    """Queue a previewed operation for the coordinators.

    Only the user who created the preview may confirm it, because it runs with that user's
    permissions. Raises OperationNotFound; IllegalTransition if the state is not preview; NotAllowed
    for another user, or without the permission of the action.
    """
    with transaction.atomic(using):
        operation = _lock(operation_id, user, using)
        if operation.created_by_id != (user.pk if user is not None else None):
            raise NotAllowed(f"Only its creator can confirm operation {operation_id}.")
        if operation.state != OperationState.PREVIEW:
            raise IllegalTransition(
                f"Operation {operation_id} is {operation.state}: only a preview can be confirmed."
            )
        queue(operation, using=using)
    return operation


def queue(operation: Operation, *, using: str) -> None:
    """Queue an operation in the caller's transaction. Its commit wakes the coordinators."""
    operation.state = OperationState.QUEUED
    operation.confirmed_at = timezone.now()
    operation.save(using=using, update_fields=["state", "confirmed_at"])
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])
    text = f"started a bulk operation: {operation.intent}"
    publish_event(operation, text, operation.user, using=using)


def start(
    request: BulkRequest, user: OperationUser | None, *, using: str = DEFAULT_DB_ALIAS
) -> Operation:
    """Preview and confirm in one call. Raises NotAllowed."""
    return confirm(preview(request, user, using=using).pk, user, using=using)


def cancel(
    operation_id: int, user: OperationUser | None, *, using: str = DEFAULT_DB_ALIAS
) -> Operation:
    """Cancel an operation. A running chunk completes, and changed tasks and created runs stay.

    Raises OperationNotFound, IllegalTransition if the operation has ended, or NotAllowed.
    """
    with transaction.atomic(using):
        operation = _lock(operation_id, user, using)
        if operation.state != OperationState.PREVIEW and not operation.active:
            raise IllegalTransition(
                f"Operation {operation_id} is {operation.state}: only operations that have not "
                "ended can be cancelled."
            )
        was_active = operation.active
        operation.state = OperationState.CANCELLED
        operation.cancelled_by = _username(user)
        operation.finished_at = timezone.now()
        operation.save(using=using, update_fields=["state", "cancelled_by", "finished_at"])
        if was_active:
            text = f"cancelled a bulk operation that {operation.outcome}"
            publish_event(operation, text, _username(user), using=using)
    return operation


def find(
    operation_id: int, user: OperationUser | None, *, using: str = DEFAULT_DB_ALIAS
) -> Operation:
    """Return an operation that the user may see. Raises NotAllowed or OperationNotFound.

    Operations on tasks need the permission to view tasks, back-fills the one to view schedules.
    """
    return _find(operation_id, user, Operation.objects.using(using))


def visible(operations: QuerySet[Operation], user: OperationUser) -> QuerySet[Operation]:
    """Return the operations of a list that the user may see."""
    hidden = [action for action, rule in RULES.items() if not user.has_perm(rule.view)]
    return operations.exclude(action__in=hidden)


def publish_event(operation: Operation, text: str, by: str, *, using: str) -> None:
    """Publish an event about an operation."""
    publish([build_event(operation, text, by)], using=using)


def build_event(operation: Operation, text: str, by: str) -> NewEvent:
    """Build the event.

    Its count is the previewed total while the operation is queued, and the number of changed tasks
    or created runs afterwards.
    """
    number = operation.total if operation.state == OperationState.QUEUED else operation.done
    is_backfill = operation.action == Action.BACKFILL
    kind = EventKind.SCHEDULE if is_backfill else EventKind.OPERATOR
    return NewEvent(kind, text, user=by, count=min(number, 2**31 - 1))


def _count(request: BulkRequest, upper_id: int, using: str) -> TaskCount:
    tasks = select_tasks(request.filter, request.ids, using, newest=upper_id)
    tasks = changeable(tasks, request.action)
    return count(tasks, upper_id, using)


def _lock(operation_id: int, user: OperationUser | None, using: str) -> Operation:
    """Lock an operation that the user may change. Raises NotAllowed or OperationNotFound."""
    operation = _find(operation_id, user, Operation.objects.using(using).select_for_update())
    _require_permission(user, Action(operation.action))
    return operation


def _find(
    operation_id: int, user: OperationUser | None, operations: QuerySet[Operation]
) -> Operation:
    operation = operations.filter(pk=operation_id).first()
    if user is not None:
        # An id that does not exist is refused as that of an operation on tasks.
        require(user, VIEW if operation is None else RULES[Action(operation.action)].view)
    if operation is None:
        raise OperationNotFound(operation_id)
    return operation


def _require_permission(user: OperationUser | None, action: Action) -> None:
    if user is not None:
        require(user, RULES[action].view, RULES[action].change)


def _username(user: OperationUser | None) -> str:
    return user.get_username() if user is not None else ""
