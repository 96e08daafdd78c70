"""Define the actions of the task list. Each leads to the preview of a bulk operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, ActionForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from taskmaster.tasks.admin.filters import conditions
from taskmaster.tasks.bulk import service
from taskmaster.tasks.bulk.request import parse
from taskmaster.tasks.bulk_actions import TASK_ACTIONS, TASK_RULES, Action
from taskmaster.tasks.errors import InvalidField, NotAllowed
from taskmaster.tasks.permissions import DELETE

_DESCRIPTIONS = {
    Action.CANCEL: "Cancel …",
    Action.RETRY: "Retry …",
    Action.RUN_NOW: "Run now …",
    Action.SET_QUEUE: "Change queue …",
    Action.SET_PRIORITY: "Change priority …",
    Action.DELETE: "Delete finished …",
}


class TaskActionForm(ActionForm):
    """Select an action and its parameters."""

    queue = forms.CharField(
        required=False, label="Queue", widget=forms.TextInput(attrs={"data-of": Action.SET_QUEUE})
    )
    priority = forms.CharField(
        required=False,
        label="Priority",
        widget=forms.TextInput(
            attrs={"data-of": Action.SET_PRIORITY, "inputmode": "numeric", "size": 4}
        ),
    )


def _fields(request: HttpRequest, action: Action) -> dict[str, object]:
    """Return the request fields as REST accepts them.

    The tasks are the ticked rows or, with "select across", the filter of the list.
    """
    fields: dict[str, object] = {"action": action}
    if request.POST.get("select_across") == "1":
        fields["filter"] = conditions(request.GET)
    else:
        chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
        fields["ids"] = [int(each) for each in chosen if each.isascii() and each.isdigit()]
    if action is Action.SET_QUEUE:
        fields["queue"] = request.POST.get("queue", "").strip()
    if action is Action.SET_PRIORITY:
        text = request.POST.get("priority", "").strip()
        try:
            fields["priority"] = int(text)
        except ValueError:
            raise InvalidField("priority", "must be a whole number from -100 to 100.") from None
    return fields


def _action(action: Action) -> Callable[..., HttpResponse | None]:
    permission = "delete_finished" if TASK_RULES[action].change == DELETE else "control"

    @admin.action(description=_DESCRIPTIONS[action], permissions=[permission])
    def start_preview(model_admin: Any, request: HttpRequest, _chosen: Any) -> HttpResponse | None:
        user: Any = request.user
        try:
            operation = service.preview(parse(_fields(request, action)), user)
        except (InvalidField, NotAllowed) as error:
            model_admin.message_user(request, str(error), messages.ERROR)
            return None
        return redirect("admin:taskmaster_tasks_operation_change", operation.pk)

    start_preview.__name__ = str(action.value)
    return start_preview


#: One admin action per bulk action, under the same name as in REST.
ACTIONS = tuple(_action(action) for action in TASK_ACTIONS)
