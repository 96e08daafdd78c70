"""How far somebody has read the output of a task."""

from __future__ import annotations

import re
from typing import NamedTuple

from tasks.errors import InvalidField

_MAX = 2**63 - 1
_TEXT = re.compile(r"(\d{1,19})-(\d{1,10})-(\d{1,10})", re.ASCII)


class Cursor(NamedTuple):
    """The first `offset` characters of this chunk have been shown, and all chunks before it."""

    lease: int
    seq: int
    offset: int

    def __str__(self) -> str:
        return f"{self.lease}-{self.seq}-{self.offset}"


START = Cursor(0, 0, 0)


def parse(field: str, text: object) -> Cursor:
    """The cursor that a frame had. Raises InvalidField."""
    found = _TEXT.fullmatch(text) if isinstance(text, str) else None
    numbers = [int(each) for each in found.groups()] if found else []
    if not numbers or numbers[0] > _MAX or max(numbers[1:]) >= 2**31:
        raise InvalidField(field, "must be the cursor of a frame.")
    return Cursor(*numbers)
