"""The form that submits a task: `tasks.submission` has the rules, this shows them."""

from __future__ import annotations

import json
import re
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminSplitDateTime

from tasks import registry, submission
from tasks.errors import InvalidField, NotAllowed
from tasks.models import Task
from tasks.permissions import SUBMIT_SHELL, User, check_submit
from tasks.submission import NewTask


class JSONText(forms.CharField):
    """JSON as a person types it."""

    widget = forms.Textarea(attrs={"rows": 3, "cols": 80, "class": "vLargeTextField mono"})

    def to_python(self, value: Any) -> Any:
        """The value; None for an empty field."""
        text = super().to_python(value)
        if not text:
            return None
        try:
            return json.loads(text)
        except RecursionError:
            raise forms.ValidationError("is no JSON: it is nested too deeply.") from None
        except ValueError as error:
            raise forms.ValidationError(f"is no JSON: {error}.") from None


class NewTaskForm(forms.ModelForm[Task]):
    """Turns what was typed into `new_task`, or into errors at the fields."""

    name = forms.ChoiceField(help_text="A registered task, or shell for a command.")
    args = JSONText(required=False, help_text="A JSON list: [1, 2]")
    kwargs = JSONText(
        required=False,
        help_text='A JSON object: {"a": 1}. Of a shell task: {"command": "seq 3 | sort -r"}',
    )
    queue = forms.CharField(required=False, initial="default")
    priority = forms.IntegerField(required=False, initial=0, help_text="-100 to 100, higher first.")
    scheduled_at = forms.SplitDateTimeField(
        required=False, widget=AdminSplitDateTime, help_text="UTC. Left empty: now."
    )
    tags = forms.CharField(required=False, help_text="With commas between.")
    max_attempts = forms.IntegerField(required=False, help_text="Left empty: the setting's.")
    timeout_s = forms.FloatField(
        required=False,
        label="Time-out",
        help_text="Seconds, 0 for none. Left empty: the setting's.",
    )
    retry_base_s = forms.FloatField(
        required=False,
        label="First pause",
        help_text="Seconds before the first retry; it doubles. Left empty: the setting's.",
    )
    retry_cap_s = forms.FloatField(
        required=False,
        label="Longest pause",
        help_text="Seconds before any retry, at most. Left empty: the setting's.",
    )
    on_lost_contact = forms.ChoiceField(
        required=False,
        choices=[(choice, choice) for choice in submission.ON_LOST_CONTACT],
        help_text="When its worker cannot reach any coordinator.",
    )

    class Meta:
        model = Task
        fields = submission.FIELDS

    #: Who submits; set by the admin on a subclass made for the request.
    user: User
    new_task: NewTask

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The defaults of the submission's rules, not those of the model.
        for field in ("args", "kwargs", "tags", "scheduled_at"):
            self.initial.pop(field, None)
        names = registry.names()
        if not self.user.has_perm(SUBMIT_SHELL):
            names.remove(registry.SHELL)
        choice = self.fields["name"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = [("", "Choose a task"), *((name, name) for name in names)]

    def clean_tags(self) -> list[str] | None:
        """The tags, None for none."""
        tags = [tag.strip() for tag in self.cleaned_data["tags"].split(",")]
        return [tag for tag in tags if tag] or None

    def _post_clean(self) -> None:
        """In place of the model's validation: nothing is saved by the model."""
        if self.errors:
            return
        given = {
            name: value for name, value in self.cleaned_data.items() if value not in (None, "")
        }
        try:
            self.new_task = submission.parse(given)
            check_submit(self.user, [self.new_task])
        except InvalidField as error:
            self._refuse(error)
        except NotAllowed as error:
            self.add_error("name", str(error))

    def _refuse(self, error: InvalidField) -> None:
        field, inner = re.fullmatch(r"(\w*)(.*)", error.field, re.DOTALL).groups()  # type: ignore[union-attr]
        rule = f"{error.field}: {error.rule}" if inner else error.rule
        self.add_error(field if field in self.fields else None, rule)
