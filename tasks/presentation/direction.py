"""Show the characters that change the direction of text.

They make a line look different from what it is: `U+202E` shows the rest of it backwards.
"""

from __future__ import annotations

import re

#: The same characters as in static/taskmaster/streams.js, which shows the output of tasks.
_CONTROLS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
#: Searching whole pages with an expression is faster than translating them.
_CONTROL = re.compile(f"[{_CONTROLS}]")


def show_direction(text: str) -> str:
    """Return the text with the code of each such character in its place."""
    return _CONTROL.sub(lambda found: f"U+{ord(found[0]):04X}", text)
