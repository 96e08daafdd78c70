"""Create tasks with a form, on the dashboard and in the admin.

The rules are in `taskmaster.tasks.submission`. The form shows each error at its field.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone

from taskmaster.tasks import fleet, registry, submission
from taskmaster.tasks.declaration import declared_options
from taskmaster.tasks.enqueue import bulk
from taskmaster.tasks.errors import InvalidField, NotAllowed
from taskmaster.tasks.events.publish import publish_submitted
from taskmaster.tasks.messages import NewTask
from taskmaster.tasks.options import ON_LOST_CONTACT, TaskOptions, default_options
from taskmaster.tasks.permissions import User, check_submit, may_shell

MAX_TASKS = 1_000
#: The longest delay: a year. A longer one is a typing error.
_MAX_DELAY_S = 366 * 86_400


def creatable_tasks(user: User) -> dict[str, dict[str, str]]:
    """Return the tasks that `user` may create, by name.

    Each value has `what`, a description, and `template`, the initial text of the arguments field.
    """
    found = {name: _describe(task) for name, task in sorted(registry.load().items())}
    for name in sorted(announced_elsewhere()):
        found[name] = {"what": "Only workers know this task.", "template": "{}"}
    if may_shell(user):
        found[registry.SHELL] = {"what": "A shell command.", "template": "seq 3 | sort -r"}
    return found


def announced_elsewhere() -> set[str]:
    """Return the names that connected workers know and this process does not."""
    return fleet.announced_names() - registry.load().keys() - {registry.SHELL}


def _describe(task: Any) -> dict[str, str]:
    """Return the description and the example arguments of a task, as far as its signature has them.

    The template is a JSON object with one entry for each named parameter.
    """
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
    """Return the parameter's default, or an example value of its type.

    A default that JSON cannot represent gives None. An unknown type gives an empty string.
    """
    if parameter.default is not parameter.empty:
        try:
            json.dumps(parameter.default)
        except (TypeError, ValueError):
            return None
        return parameter.default
    kind = str(parameter.annotation).partition("[")[0]
    empty: dict[str, Any] = {"int": 1, "float": 1.0, "bool": False, "list": [], "dict": {}}
    return empty.get(kind, "")


def show_declared(form: forms.BaseForm, names: Sequence[str]) -> None:
    """Show the options that the selected task declares in the fields of the form.

    They hold for the fields that are left empty. The script `declared.js` shows them when another
    task is selected. `names` are the tasks that can be selected.
    """
    declared = {name: _option_texts(name) for name in names}
    form.fields["name"].widget.attrs["data-declared"] = json.dumps(declared)
    selected = declared.get(form["name"].value() or "", {})
    for option in TaskOptions._fields:
        if (field := form.fields.get(option)) is None or option == "scheduled_at":
            continue
        field.widget.attrs["data-option"] = option
        if isinstance(field, forms.ChoiceField):
            text = selected.get(option, "as declared")
            field.choices = [("", text), *((each, each) for each in ON_LOST_CONTACT)]
        else:
            field.widget.attrs["placeholder"] = selected.get(option, "")


def _option_texts(name: str) -> dict[str, str]:
    """Return the options of a task as text, by field."""
    task = registry.find(name)
    options = default_options() if task is None else declared_options(task)
    texts = {
        option: f"{value:g}" if isinstance(value, float) else str(value)
        for option, value in options._asdict().items()
    }
    return {**texts, "tags": ", ".join(options.tags)}


class NewTasksForm(forms.Form):
    """Convert the input to `new_tasks`, or show errors at the fields."""

    name = forms.ChoiceField(label="Task", error_messages={"required": "Choose a task."})
    count = forms.IntegerField(
        label="Number of tasks",
        min_value=1,
        max_value=MAX_TASKS,
        initial=10,
        error_messages={
            "required": "Enter a number from 1 to 1,000.",
            "invalid": "must be a whole number from 1 to 1,000.",
            "min_value": "must be from 1 to 1,000.",
            "max_value": "must be from 1 to 1,000.",
        },
    )
    delay_s = forms.FloatField(
        label="Delay in seconds",
        min_value=0,
        max_value=_MAX_DELAY_S,
        required=False,
        widget=forms.NumberInput(attrs={"placeholder": "now", "step": "any"}),
        error_messages={
            "invalid": "must be a number of seconds.",
            "min_value": "must not be negative; leave it empty to start the tasks now.",
            "max_value": "must not exceed 366 days (31,622,400 seconds).",
        },
    )
    queue = forms.CharField(required=False)
    arguments = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
    )

    new_tasks: list[NewTask]

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        names = list(creatable_tasks(user))
        choice = self.fields["name"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = [(name, name) for name in names]
        choice.initial = names[0] if names else None
        choice.error_messages["invalid_choice"] = (
            "%(value)s is not a registered task, or you may not create it."
        )
        for name, field in self.fields.items():
            field.widget.attrs["aria-describedby"] = f"id_{name}_error"
        show_declared(self, names)

    def clean(self) -> None:
        """Build the tasks if each single field is valid."""
        if self.errors:
            return
        given = self.cleaned_data
        try:
            task = submission.parse(self._fields(given))
            check_submit(self.user, [task])
        except InvalidField as error:
            self._add_field_error(error)
        except NotAllowed as error:
            self.add_error("name", str(error))
        else:
            self.new_tasks = [task] * given["count"]

    def _fields(self, given: dict[str, Any]) -> dict[str, object]:
        name = given["name"]
        fields = {"name": name, **_parse_arguments(name, given["arguments"].strip())}
        if given["queue"]:
            fields["queue"] = given["queue"]
        if given["delay_s"]:
            fields["scheduled_at"] = timezone.now() + timedelta(seconds=given["delay_s"])
        return fields

    def _add_field_error(self, error: InvalidField) -> None:
        """Add the error to its form field. The field `arguments` contains args and kwargs."""
        error = error.renamed(
            {
                "args": "arguments",
                # The command of a shell task is the whole text.
                "kwargs.command": "arguments",
                "kwargs": "arguments",
                "scheduled_at": "delay_s",
            }
        )
        field = re.match(r"\w*", error.field)[0]  # type: ignore[index]
        self.add_error(field if field in self.fields else None, str(error))


def _parse_arguments(name: str, text: str) -> dict[str, object]:
    """Parse the arguments field. A JSON list is args, a JSON object is kwargs.

    For a shell task, any text that is not a JSON object is the command. Raise InvalidField.
    """
    if not text and name != registry.SHELL:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if name == registry.SHELL:
            return {"kwargs": {"command": text}}
        raise InvalidField("arguments", f"is not valid JSON: {error}.") from None
    if isinstance(value, dict):
        return {"kwargs": value}
    if name == registry.SHELL:
        return {"kwargs": {"command": text}}
    if isinstance(value, list):
        return {"args": value}
    raise InvalidField("arguments", 'must be a list such as [1, 2] or an object such as {"a": 1}.')


def create_tasks(form: NewTasksForm) -> str:
    """Store the tasks of a valid form, all or none. Return a message for the user."""
    user = form.user
    ids = bulk(form.new_tasks, created_by_id=user.pk)
    publish_submitted(ids, form.new_tasks, user.get_username())
    notice = f" {form.new_tasks[0].notice}".rstrip()
    if len(ids) == 1:
        return f"Created task {ids[0]}.{notice}"
    return f"Created {len(ids):,} tasks, {ids[0]} to {ids[-1]}.{notice}"
