"""Show the characters that change the direction of text.

They make a line look different from what it is: `U+202E` shows the rest of it backwards.
"""

from __future__ import annotations

#: The same characters as in static/taskmaster/streams.js, which shows the output of tasks.
_CONTROLS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_NAMES = str.maketrans({each: f"U+{ord(each):04X}" for each in _CONTROLS})


def show_direction(text: str) -> str:
    """Return the text with the code of each such character in its place."""
    return text.translate(_NAMES)
