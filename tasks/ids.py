"""What can be the id of a row."""

from __future__ import annotations

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
