"""The form that creates tasks, on the dashboard and in the admin.

`tasks.submission` has the rules, this says them at the fields.
"""

from __future__ import annotations

import inspect
import json
import re
from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone

from tasks import registry, submission
from tasks.enqueue import bulk, declared
from tasks.errors import InvalidField, NotAllowed
from tasks.events.submitted import submitted
from tasks.permissions import SUBMIT_SHELL, User, check_submit
from tasks.submission import NewTask

MOST = 1_000
#: A year: beyond it a delay is a slip of the pen.
_LONGEST_S = 366 * 86_400


def kinds(user: User) -> dict[str, dict[str, str]]:
    """What may be created, by name: what it does, and arguments to begin with."""
    found = {name: _described(task) for name, task in sorted(registry.load().items())}
    if user.has_perm(SUBMIT_SHELL):
        found[registry.SHELL] = {"what": "A shell command.", "template": "seq 3 | sort -r"}
    return found


def _described(task: Any) -> dict[str, str]:
    """Of a task without types or with unusual parameters, what there is."""
    parameters = list(inspect.signature(task.func).parameters.values())
    if task.takes_context:
        parameters = parameters[1:]
    named = [
        each for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    ]
    values = {each.name: _example(each) for each in named}
    what = (inspect.getdoc(task.func) or "").partition("\n")[0]
    return {"what": what, "template": json.dumps(values, ensure_ascii=False)}


def _example(parameter: inspect.Parameter) -> Any:
    """Its default, or the empty value of its type."""
    if parameter.default is not parameter.empty:
        try:
            json.dumps(parameter.default)
        except (TypeError, ValueError):
            return None
        return parameter.default
    kind = str(parameter.annotation).partition("[")[0]
    empty: dict[str, Any] = {"int": 1, "float": 1.0, "bool": False, "list": [], "dict": {}}
    return empty.get(kind, "")


class NewTasksForm(forms.Form):
    """Turns what was typed into `new_tasks`, or into errors at the fields."""

    name = forms.ChoiceField(label="Task", error_messages={"required": "Choose a task."})
    count = forms.IntegerField(
        label="How many",
        min_value=1,
        max_value=MOST,
        initial=10,
        error_messages={
            "required": "Say how many, 1 to 1,000.",
            "invalid": "must be a whole number from 1 to 1,000.",
            "min_value": "must be from 1 to 1,000.",
            "max_value": "must be from 1 to 1,000.",
        },
    )
    delay_s = forms.FloatField(
        label="Start in, seconds",
        min_value=0,
        max_value=_LONGEST_S,
        required=False,
        widget=forms.NumberInput(attrs={"placeholder": "now", "step": "any"}),
        error_messages={
            "invalid": "must be a number of seconds.",
            "min_value": "must not be negative; leave it empty to start now.",
            "max_value": "must be within a year.",
        },
    )
    queue = forms.CharField(
        required=False, widget=forms.TextInput(attrs={"placeholder": "the task's own"})
    )
    arguments = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
    )

    new_tasks: list[NewTask]

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        names = list(kinds(user))
        choice = self.fields["name"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = [(name, name) for name in names]
        choice.error_messages["invalid_choice"] = (
            "You may not create %(value)s, or there is no such task."
        )
        for name, field in self.fields.items():
            field.widget.attrs["aria-describedby"] = f"id_{name}_error"

    def clean(self) -> None:
        """Builds the tasks once every field by itself is right."""
        if self.errors:
            return
        given = self.cleaned_data
        try:
            task = submission.parse(self._fields(given))
            check_submit(self.user, [task])
        except InvalidField as error:
            self._refuse(error)
        except NotAllowed as error:
            self.add_error("name", str(error))
        else:
            self.new_tasks = [task] * given["count"]

    def _fields(self, given: dict[str, Any]) -> dict[str, object]:
        name = given["name"]
        fields: dict[str, object] = (
            {"name": name} if name == registry.SHELL else declared(registry.get(name))
        )
        fields |= _arguments(name, given["arguments"].strip())
        if given["queue"]:
            fields["queue"] = given["queue"]
        if given["delay_s"]:
            fields["scheduled_at"] = timezone.now() + timedelta(seconds=given["delay_s"])
        return {field: value for field, value in fields.items() if value is not None}

    def _refuse(self, error: InvalidField) -> None:
        """At the field that it is about; arguments have one for both kinds."""
        name = re.match(r"\w*", error.field)[0]  # type: ignore[index]
        field = {"args": "arguments", "kwargs": "arguments", "scheduled_at": "delay_s"}.get(
            name, name
        )
        self.add_error(field if field in self.fields else None, f"{error.field}: {error.rule}")


def _arguments(name: str, text: str) -> dict[str, object]:
    """A list is args, an object kwargs; of a shell task any other text is the command.

    Raises InvalidField.
    """
    if not text and name != registry.SHELL:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if name == registry.SHELL:
            return {"kwargs": {"command": text}}
        raise InvalidField("arguments", f"is no JSON: {error}.") from None
    if isinstance(value, dict):
        return {"kwargs": value}
    if name == registry.SHELL:
        return {"kwargs": {"command": text}}
    if isinstance(value, list):
        return {"args": value}
    raise InvalidField("arguments", 'must be a list like [1, 2], or an object like {"a": 1}.')


def created(form: NewTasksForm) -> str:
    """Stores the tasks of a valid form, all or none; returns what was done, for a person."""
    user = form.user
    ids = bulk(form.new_tasks, created_by_id=user.pk)
    submitted(ids, form.new_tasks, user.get_username())
    if len(ids) == 1:
        return f"Created task {ids[0]}."
    return f"Created {len(ids):,} tasks, {ids[0]} to {ids[-1]}."
