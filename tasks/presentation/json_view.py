"""Format JSON values for people."""

from __future__ import annotations

import json
import re

#: Longest text that is indented. Deep indentation multiplies the size of a longer one.
_INDENTED_MAX = 20_000
#: Deepest nesting that is indented.
_DEPTH_MAX = 100
#: A string with its quotes, a bracket, a comma, a colon, or a number or word.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')
_CLOSING = {"[": "]", "{": "}"}


def indented(value: object) -> str:
    """Return a value as JSON: indented if it is short, else on one line.

    Pages show this text as it is. A script would change numbers that JavaScript cannot represent.
    """
    line = json.dumps(value, ensure_ascii=False)
    if len(line) > _INDENTED_MAX:
        return line
    return json.dumps(value, indent=2, ensure_ascii=False)


def indented_text(text: str) -> str:
    """Return stored JSON text indented, or as it is if it is long or deeply nested.

    The text is not parsed: each number and string stays as it was stored, duplicate keys too.
    """
    if len(text) > _INDENTED_MAX:
        return text
    tokens = _TOKEN.findall(text)
    pieces: list[str] = []
    depth = 0
    for index, token in enumerate(tokens):
        before = tokens[index - 1] if index else ""
        if token in ("]", "}"):
            depth -= 1
            if _CLOSING.get(before) != token:
                pieces.append("\n" + "  " * depth)
        elif before in _CLOSING or before == ",":
            pieces.append("\n" + "  " * depth)
        pieces.append(f"{token} " if token == ":" else token)
        if token in _CLOSING:
            depth += 1
            if depth > _DEPTH_MAX:
                return text
    return "".join(pieces)
