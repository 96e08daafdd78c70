"""Validate ids of rows."""

from __future__ import annotations

from taskmaster.tasks.errors import InvalidField, TooLarge

#: The largest value of PostgreSQL's bigint.
MAX_ID = 2**63 - 1
_DIGITS = len(str(MAX_ID))


def parse_id(text: str) -> int | None:
    """Convert ASCII digits to an id. Return None for other texts and for numbers above `MAX_ID`."""
    # int() raises an error for thousands of digits, so the length is checked first.
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        return None
    value = int(text)
    return value if value <= MAX_ID else None


def parse_ids(value: object, most: int) -> list[int]:
    """Validate a field `ids`, a list of task ids.

    Raise InvalidField, or TooLarge for more than `most` ids.
    """
    if not isinstance(value, list) or not value:
        raise InvalidField("ids", "must be a non-empty list of ids.")
    if len(value) > most:
        raise TooLarge("ids", f"has {len(value):,} ids; the limit is {most:,} per request.")
    for index, each in enumerate(value):
        if isinstance(each, bool) or not isinstance(each, int) or not 0 < each <= MAX_ID:
            raise InvalidField(
                f"ids[{index}]", f"must be a task id, a whole number from 1 to {MAX_ID}."
            )
    return value
