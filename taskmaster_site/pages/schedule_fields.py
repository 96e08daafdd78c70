"""Convert between the form of a schedule and the fields of REST. The service checks all values."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings as django_settings

from taskmaster.tasks.errors import InvalidField, TaskMasterError
from taskmaster.tasks.models import Schedule
from taskmaster.tasks.options import MAX_QUEUE, ON_LOST_CONTACT
from taskmaster.tasks.presentation.json_view import indented
from taskmaster.tasks.registry import MAX_NAME
from taskmaster.tasks.timing.parse import TIMING_FIELDS
from taskmaster.tasks.timing.rules import MAX_CRON, MAX_SCHEDULE_NAME, MAX_ZONE, TriggerKind
from taskmaster.tasks.timing.zones import zone_of

_UNITS = ((1, "seconds"), (60, "minutes"), (3_600, "hours"), (86_400, "days of 24 hours"))
_HOUR_S = 3_600
#: Fields of the form that have another name in REST.
_RENAMED = {
    "command": "kwargs",
    "interval_s": "every",
    "catch_up_s": "catch_up_h",
}
_SKIPPED = (
    ("cron", "as cron: shift a fixed time, skip others"),
    ("shift", "shift: run right after the change"),
    ("skip", "skip: do not run"),
)
_REPEATED = (
    ("cron", "as cron: a fixed time once, others twice"),
    ("first", "first: run once, the first time"),
    ("second", "second: run once, the second time"),
    ("both", "both: run twice"),
)
_OVERLAP = (
    ("allow", "run both"),
    ("skip", "skip the new run"),
    ("queue_one", "wait until it has ended; one run at most waits"),
    ("cancel_running", "cancel the earlier run"),
)
_MISSED = (
    ("latest", "make up the latest"),
    ("skip", "make up none"),
    ("all", "make up all, up to a number"),
)


class _Text(forms.CharField):
    """Accept any text, and keep it as it is: the service checks it and names the rule."""

    def __init__(self, label: str, *, maximum: int = 200, **attrs: object) -> None:
        widget = forms.TextInput(
            attrs={"maxlength": maximum, "autocomplete": "off", "spellcheck": "false", **attrs}
        )
        super().__init__(label=label, required=False, widget=widget)


class _Number(_Text):
    """Accept a number. Other text is kept, so that the error names it."""

    def __init__(self, label: str, **attrs: object) -> None:
        super().__init__(label, maximum=20, inputmode="decimal", **attrs)

    def clean(self, value: Any) -> Any:
        """Return None for an empty field, a number, or the text."""
        return _number(super().clean(value))


class _Lines(forms.CharField):
    """Accept text of several lines."""

    def __init__(self, label: str, *, placeholder: str) -> None:
        attrs = {"rows": 3, "class": "mono", "spellcheck": "false", "placeholder": placeholder}
        super().__init__(label=label, required=False, widget=forms.Textarea(attrs=attrs))


class _Json(_Lines):
    """Accept a JSON value of one type."""

    def __init__(
        self, label: str, kind: type[list[Any]] | type[dict[str, Any]], **attrs: str
    ) -> None:
        super().__init__(label, **attrs)
        self.kind = kind

    def clean(self, value: Any) -> Any:
        """Return None for an empty field, or the value. Raise ValidationError."""
        text = str(super().clean(value)).strip()
        if not text:
            return None
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(f"Is not valid JSON: {error}.") from None
        if not isinstance(found, self.kind):
            rule = "a list such as [1, 2]" if self.kind is list else 'an object such as {"a": 1}'
            raise forms.ValidationError(f"Must be {rule}.")
        return found


def _choice(label: str, choices: Any) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, choices=choices, required=False)


_DECLARED = "as the task declares"


class ScheduleForm(forms.Form):
    """Hold the input of the form. Its errors are those of the service."""

    name = _Text("Name", maximum=MAX_SCHEDULE_NAME)
    task = _Text("Task", maximum=MAX_NAME, list="tasks", **{"class": "mono"})
    args = _Json("Arguments (JSON list)", list, placeholder="[1, 2]")
    kwargs = _Json("Named arguments (JSON object)", dict, placeholder='{"warehouse": "north"}')
    trigger = forms.ChoiceField(
        choices=[("cron", "Cron"), ("interval", "Interval"), ("dates", "Dates")],
        required=False,
        initial="cron",
        widget=forms.RadioSelect,
    )
    cron = _Text(
        "Cron expression", maximum=MAX_CRON, placeholder="30 2 * * sun", **{"class": "mono"}
    )
    every = _Number("Every", placeholder="15")
    unit = _choice("Unit", _UNITS)
    anchor = _Text("Counted from", placeholder="Monday 1 January 2024, 00:00")
    dates = _Lines("Dates, one a line", placeholder="2027-01-04 06:00\n2027-12-31 23:00")
    timezone = _Text("Time zone", maximum=MAX_ZONE, list="zones")
    skipped_time = _choice("If the clocks skip its time", _SKIPPED)
    repeated_time = _choice("If its time occurs twice", _REPEATED)
    starts_at = _Text("From", placeholder="now, or 2027-01-31 12:00")
    ends_at = _Text("Until", placeholder="no end, or 2027-12-31 23:59")
    max_runs = _Number("Number of runs", placeholder="no limit")
    jitter_s = _Number("Spread starts over", placeholder="0")
    overlap = _choice("If an earlier run has not ended", _OVERLAP)
    missed = _choice("If runs were missed", _MISSED)
    missed_max = _Number("Number made up at most", placeholder="10")
    catch_up_h = _Number("Made up within", placeholder="24")
    queue = _Text("Queue", maximum=MAX_QUEUE, list="queues", placeholder=_DECLARED)
    priority = _Number("Priority", placeholder=_DECLARED)
    max_attempts = _Number("Attempts", placeholder=_DECLARED)
    timeout_s = _Number("Time-out", placeholder=_DECLARED)
    retry_base_s = _Number("First retry delay", placeholder=_DECLARED)
    retry_cap_s = _Number("Longest retry delay", placeholder=_DECLARED)
    on_lost_contact = _choice(
        "On lost contact", [("", _DECLARED), *((each, each) for each in ON_LOST_CONTACT)]
    )
    tags = _Text("Tags, with commas between", placeholder=_DECLARED)
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["timezone"].initial = django_settings.TIME_ZONE
        for name, field in self.fields.items():
            if name not in ("trigger", "unit", "version"):
                field.widget.attrs["aria-describedby"] = f"id_{name}_error"

    def show(self, error: TaskMasterError) -> None:
        """Show an error of the service at its field, which gets the focus."""
        if not isinstance(error, InvalidField):
            self.add_error(None, str(error))
            return
        renamed = error.renamed(_RENAMED)
        field = re.match(r"\w*", renamed.field)[0]  # type: ignore[index]
        if field not in self.fields:
            self.add_error(None, str(error))
            return
        self.add_error(field, renamed.rule[:1].upper() + renamed.rule[1:])
        self.fields[field].widget.attrs |= {"autofocus": True, "aria-invalid": "true"}

    @property
    def has_option_errors(self) -> bool:
        """Return whether an error is among the options of the task, which are folded."""
        return not self.errors.keys().isdisjoint((*_OPTIONS, "tags"))

    def timing_fields(self) -> dict[str, object]:
        """Return the fields of the timing, also while other fields are wrong or empty."""
        given = {name: self._value(name) for name in self.fields}
        return {name: value for name, value in _rest_fields(given).items() if name in TIMING_FIELDS}

    def fields_of_rest(self) -> dict[str, object]:
        """Return all fields of a valid form. None: the default, or as the task declares."""
        given = self.cleaned_data
        return {
            **_rest_fields(given),
            "name": given["name"],
            "task": given["task"],
            "args": given["args"],
            "kwargs": given["kwargs"],
            **{name: given[name] if given[name] != "" else None for name in _OPTIONS},
            "tags": [tag.strip() for tag in given["tags"].split(",")] if given["tags"] else None,
        }

    def _value(self, name: str) -> Any:
        """Return a value as a valid form has it, without its checks."""
        value = self[name].value()
        return _number(value) if isinstance(self.fields[name], _Number) else value or ""


_OPTIONS = (
    "queue", "priority", "max_attempts", "timeout_s", "retry_base_s", "retry_cap_s",
    "on_lost_contact",
)  # fmt: skip


def _rest_fields(given: dict[str, Any]) -> dict[str, object]:
    """Return the fields of the timing under their names in REST."""
    kind = given["trigger"] or "cron"
    every, hours = given["every"], given["catch_up_h"]
    unit = next((size for size, _ in _UNITS if str(size) == str(given["unit"])), 1)
    fields: dict[str, object] = {
        "cron": given["cron"] if kind == TriggerKind.CRON else None,
        "interval_s": None,
        "dates": None,
        "anchor": None,
    }
    if kind == TriggerKind.INTERVAL:
        fields["interval_s"] = "" if every is None else _times(every, unit)
        fields["anchor"] = given["anchor"].strip() or None
    if kind == TriggerKind.DATES:
        fields["dates"] = [line.strip() for line in given["dates"].splitlines() if line.strip()]
    for name in ("timezone", "starts_at", "ends_at"):
        fields[name] = given[name].strip() or None
    for name in ("skipped_time", "repeated_time", "overlap", "missed"):
        fields[name] = given[name] or None
    for name in ("max_runs", "jitter_s", "missed_max"):
        fields[name] = given[name]
    fields["catch_up_s"] = None if hours is None else _times(hours, _HOUR_S)
    return fields


def _times(value: object, factor: int) -> object:
    return value * factor if isinstance(value, int | float) else value


def _number(value: Any) -> Any:
    """Return None for an empty text, a number, or the text."""
    if not isinstance(value, str):
        return value
    text = value.strip().replace(",", "")
    if not text:
        return None
    try:
        return int(text) if re.fullmatch(r"[+-]?\d+", text, re.ASCII) else float(text)
    except ValueError:
        return value


def initial_of(schedule: Schedule) -> dict[str, object]:
    """Return the values of the form for a stored schedule."""
    every, unit = _in_units(schedule.interval_s)
    return {
        **{name: getattr(schedule, name) for name in _COPIED},
        "args": indented(schedule.args) if schedule.args else "",
        "kwargs": indented(schedule.kwargs) if schedule.kwargs else "",
        "every": every,
        "unit": unit,
        "anchor": _local(schedule.anchor, schedule.timezone),
        "dates": "\n".join(_local(each, schedule.timezone) for each in schedule.dates),
        "starts_at": _local(schedule.starts_at, schedule.timezone),
        "ends_at": _local(schedule.ends_at, schedule.timezone),
        "jitter_s": f"{schedule.jitter_s:g}",
        "catch_up_h": f"{schedule.catch_up_s / _HOUR_S:g}",
        "tags": ", ".join(schedule.tags or ()),
    }


_COPIED = (
    "name", "task", "trigger", "cron", "timezone", "skipped_time", "repeated_time", "max_runs",
    "overlap", "missed", "missed_max", "version", *_OPTIONS,
)  # fmt: skip


def _in_units(seconds: float | None) -> tuple[str, int]:
    """Return an interval as a number of the largest unit that has a whole number."""
    if not seconds:
        return "", 60
    unit = next(unit for unit, _ in reversed(_UNITS) if seconds % unit == 0 or unit == 1)
    return f"{seconds / unit:.12g}", unit


def _local(when: datetime | None, zone: str) -> str:
    """Return a time with the offset of the zone, so that it is never ambiguous."""
    return "" if when is None else when.astimezone(zone_of(zone)).isoformat(" ", "seconds")
