"""The actions of the task list: each leads to the preview of an operation on many tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, ActionForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from tasks.admin.filters import conditions
from tasks.bulk import operate, wanted
from tasks.bulk.actions import RULES, Action
from tasks.errors import InvalidField, NotAllowed
from tasks.permissions import DELETE

_DESCRIPTIONS = {
    Action.CANCEL: "Cancel …",
    Action.RETRY: "Retry …",
    Action.RUN_NOW: "Run now …",
    Action.SET_QUEUE: "Change queue …",
    Action.SET_PRIORITY: "Change priority …",
    Action.DELETE: "Delete finished …",
}


class TaskActionForm(ActionForm):
    """Which action, and what it needs besides."""

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
    """What was chosen, as REST takes it: the rows that are ticked, or the filter of the list."""
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
    permission = "remove" if RULES[action].permission == DELETE else "steer"

    @admin.action(description=_DESCRIPTIONS[action], permissions=[permission])
    def begin(model_admin: Any, request: HttpRequest, _chosen: Any) -> HttpResponse | None:
        user: Any = request.user
        try:
            operation = operate.preview(wanted.parse(_fields(request, action)), user)
        except (InvalidField, NotAllowed) as error:
            model_admin.message_user(request, str(error), messages.ERROR)
            return None
        return redirect("admin:tasks_operation_change", operation.pk)

    begin.__name__ = str(action.value)
    return begin


#: Named as REST names them.
ACTIONS = tuple(_action(action) for action in Action)
