"""Validate cron expressions, and suggest the nearest correct form of a wrong one."""

from __future__ import annotations

import difflib
import re

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.options import short_text
from taskmaster.tasks.timing.cron import (
    DAY,
    FIELDS,
    MACROS,
    BadItem,
    CronSets,
    cron_sets,
    without_single_steps,
)
from taskmaster.tasks.timing.rules import MAX_CRON

_ORDER = "minute hour day month weekday"
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_MONTH_NAMES = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
#: Number of items that are corrected for a suggestion.
_MOST_CORRECTIONS = 20
#: Number of characters of a wrong item that a message shows.
_MOST_SHOWN = 40


def cron_expression(value: object, field: str = "cron") -> str:
    """Return the expression with single spaces, in lower case, and a macro as five fields.

    Raise InvalidField with the item, the rule, and the nearest correct form if there is one.
    """
    if isinstance(value, str) and not value.strip():
        raise InvalidField(
            field, "must not be empty; for example, '30 2 * * *' is every day at 02:30."
        )
    expression = " ".join(short_text(value, field, MAX_CRON).lower().split())
    if expression.startswith("@"):
        return _macro(expression, field)
    count = len(expression.split())
    if count != len(FIELDS):
        number = _NUMBERS[count] if count < len(_NUMBERS) else str(count)
        rule = f"has {number} field{'s' * (count != 1)}; a schedule has five: {_ORDER}."
        raise InvalidField(field, rule + _hint(_five_fields(expression), "Without seconds it is"))
    try:
        _check_dates(cron_sets(expression))
    except BadItem as error:
        wrong = error.item or expression.split()[FIELDS.index(error.field)]
        item = _as_typed(wrong, value)[:_MOST_SHOWN]
        rule = f"has {item!r} in the {error.field.name}; {error.rule}."
        raise InvalidField(field, rule + _hint(_corrected(expression))) from None
    return without_single_steps(expression)


def _macro(name: str, field: str) -> str:
    if name in MACROS:
        return MACROS[name]
    near = difflib.get_close_matches(name, MACROS, n=1)
    rule = f"is {name[:_MOST_SHOWN]!r}; it must be five fields or one of {', '.join(MACROS)}."
    raise InvalidField(field, rule + _hint(near[0] if near else None))


def _check_dates(sets: CronSets) -> None:
    """Raise BadItem if no month of the expression has one of its days."""
    day = min(sets.days)
    if not sets.both_days or day <= sets.longest_month:
        return
    if len(sets.months) == 1:
        (month,) = sets.months
        rule = f"{day} {_MONTH_NAMES[month - 1]} does not exist"
    else:
        rule = f"none of its months has {day} days"
    # 29 February exists in leap years only.
    nearest = 28 if sets.months == {2} else sets.longest_month
    raise BadItem(DAY, str(day), rule, str(nearest))


def _five_fields(expression: str) -> str | None:
    """Return the expression without its seconds, or None if that is not valid either."""
    texts = expression.split()
    return _corrected(" ".join(texts[1:])) if len(texts) == len(FIELDS) + 1 else None


def _corrected(expression: str) -> str | None:
    """Return the nearest correct form, or None."""
    for _ in range(_MOST_CORRECTIONS):
        try:
            _check_dates(cron_sets(expression))
        except BadItem as error:
            if error.nearest is None:
                return None
            texts = expression.split()
            index = FIELDS.index(error.field)
            texts[index] = _with_item(texts[index], error)
            expression = " ".join(texts)
            if len(expression.split()) != len(FIELDS):
                return None
        else:
            return expression
    return None


def _with_item(text: str, error: BadItem) -> str:
    """Return a field with the wrong item replaced. All days of an impossible date are replaced."""
    items = text.split(",")
    if error.item not in items:
        return str(error.nearest)
    items[items.index(error.item)] = str(error.nearest)
    return ",".join(filter(None, items))


def _as_typed(item: str, value: object) -> str:
    """Return the item with the upper case of the input."""
    found = re.search(re.escape(item), str(value), re.IGNORECASE)
    return found[0] if found else item


def _hint(nearest: str | None, lead: str = "The nearest correct form is") -> str:
    return f" {lead} {nearest!r}." if nearest else ""
