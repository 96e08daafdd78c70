"""What can be the id of a row."""

from __future__ import annotations

from tasks.errors import InvalidField, TooLarge

#: The largest that PostgreSQL's bigint can be.
MAX_ID = 2**63 - 1
_DIGITS = len(str(MAX_ID))


def as_id(text: str) -> int | None:
    """The number that a text of digits is; None where no row can have it."""
    # int() refuses thousands of digits by itself, with an error.
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        return None
    value = int(text)
    return value if value <= MAX_ID else None


def ids_of(value: object, most: int) -> list[int]:
    """The ids of tasks that a field `ids` names. Raises InvalidField, or TooLarge above `most`."""
    if not isinstance(value, list) or not value:
        raise InvalidField("ids", "must be a list of ids, not empty.")
    if len(value) > most:
        raise TooLarge("ids", f"holds {len(value):,} ids; at most {most:,} at once.")
    for index, each in enumerate(value):
        if isinstance(each, bool) or not isinstance(each, int) or not 0 < each <= MAX_ID:
            raise InvalidField(f"ids[{index}]", "must be the id of a task.")
    return value
