"""Define the form that submits a task. `taskmaster.tasks.submission` validates it."""

from __future__ import annotations

import json
import re
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminSplitDateTime

from taskmaster.tasks import registry, submission
from taskmaster.tasks.admin.model_admin import ModelForm
from taskmaster.tasks.errors import InvalidField, NotAllowed
from taskmaster.tasks.forms import announced_elsewhere, show_declared
from taskmaster.tasks.messages import NewTask
from taskmaster.tasks.models import Task
from taskmaster.tasks.permissions import User, check_submit, may_shell


class JSONText(forms.CharField):
    """Accept JSON text."""

    widget = forms.Textarea(attrs={"rows": 3, "cols": 80, "class": "vLargeTextField mono"})

    def to_python(self, value: Any) -> Any:
        """Return the parsed value, or None for an empty field."""
        text = super().to_python(value)
        if not text:
            return None
        try:
            return json.loads(text)
        except RecursionError:
            raise forms.ValidationError("is not valid JSON: it is nested too deeply.") from None
        except ValueError as error:
            raise forms.ValidationError(f"is not valid JSON: {error}.") from None


class NewTaskForm(ModelForm[Task]):
    """Convert the input into `new_task`, or into errors at the fields."""

    name = forms.ChoiceField(help_text="A known task, or shell for a shell command.")
    args = JSONText(required=False, help_text="A JSON list such as [1, 2].")
    kwargs = JSONText(
        required=False,
        help_text='A JSON object such as {"a": 1}. For shell: {"command": "seq 3 | sort -r"}.',
    )
    queue = forms.CharField(required=False)
    priority = forms.IntegerField(required=False, help_text="From -100 to 100, higher first.")
    scheduled_at = forms.SplitDateTimeField(
        required=False,
        widget=AdminSplitDateTime,
        help_text="Leave it empty to start now. A time in the past is now.",
    )
    tags = forms.CharField(required=False, help_text="Separated by commas.")
    max_attempts = forms.IntegerField(required=False)
    timeout_s = forms.FloatField(
        required=False,
        label="Time-out",
        help_text="Seconds, 0 for none.",
    )
    retry_base_s = forms.FloatField(
        required=False,
        label="First pause",
        help_text="Seconds before the first retry; doubles with each retry.",
    )
    retry_cap_s = forms.FloatField(
        required=False,
        label="Longest pause",
        help_text="Maximum seconds before a retry.",
    )
    on_lost_contact = forms.ChoiceField(
        required=False,
        help_text="Whether the worker continues or stops the task when it loses contact.",
    )

    class Meta:
        model = Task
        fields = submission.FIELDS

    #: The submitting user. The admin sets it on a subclass made for each request.
    user: User
    new_task: NewTask

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = [*registry.names(), *sorted(announced_elsewhere())]
        if registry.SHELL in names and not may_shell(self.user):
            names.remove(registry.SHELL)
        choice = self.fields["name"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = [("", "Choose a task"), *((name, name) for name in names)]
        show_declared(self, names)

    def clean_tags(self) -> list[str] | None:
        """Return the tags, or None if there are none."""
        tags = [tag.strip() for tag in self.cleaned_data["tags"].split(",")]
        return [tag for tag in tags if tag] or None

    def _post_clean(self) -> None:
        """Validate by the rules of a submission instead of the model, which saves nothing here."""
        if self.errors:
            return
        given = {
            name: value for name, value in self.cleaned_data.items() if value not in (None, "")
        }
        try:
            self.new_task = submission.parse(given)
            check_submit(self.user, [self.new_task])
        except InvalidField as error:
            self._add_field_error(error)
        except NotAllowed as error:
            self.add_error("name", str(error))

    def _add_field_error(self, error: InvalidField) -> None:
        field, inner = re.fullmatch(r"(\w*)(.*)", error.field, re.DOTALL).groups()  # type: ignore[union-attr]
        rule = f"{error.field}: {error.rule}" if inner else error.rule
        self.add_error(field if field in self.fields else None, rule)
