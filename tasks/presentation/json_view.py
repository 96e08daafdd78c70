"""Format JSON values for people."""

from __future__ import annotations

import json

#: Longest text that is indented. Deep indentation multiplies the size of a longer one.
_INDENTED_MAX = 20_000


def indented(value: object) -> str:
    """Return a value as JSON: indented if it is short, else on one line.

    Pages show this text as it is. A script would change numbers that JavaScript cannot represent.
    """
    line = json.dumps(value, ensure_ascii=False)
    if len(line) > _INDENTED_MAX:
        return line
    return json.dumps(value, indent=2, ensure_ascii=False)
