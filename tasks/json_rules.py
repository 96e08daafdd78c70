"""Check JSON texts: what every interface, the database and the pages can carry."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import accumulate

#: Maximum nesting of lists and objects in arguments and results. It is far below the depth at which
#: recursive JSON code exhausts its stack.
MAX_DEPTH = 100
#: A string of JSON text, as bytes.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
#: Change of the depth at each byte.
_STEP = [(byte in b"[{") - (byte in b"]}") for byte in range(256)]
#: The escape of U+0000, preceded by an even number of backslashes.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
#: The exponent of a number that may exceed the range of a float, up to 1.8e308.
_LARGE_EXPONENT = re.compile(r"[eE]\+?[0-9]{3}")
#: A number with more digits may exceed that range with an exponent of two digits, or Python's limit
#: for the digits of an integer.
_DIGITS_MAX = 200
_LONG_NUMBER = re.compile(rf"[0-9]{{{_DIGITS_MAX + 1}}}")
_encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False).encode


def is_too_deep(text: str, levels: int = MAX_DEPTH) -> bool:
    """Return whether valid JSON is nested more than `levels` deep."""
    # Most texts have fewer brackets in total, so the exact check is rarely needed.
    if text.count("[") + text.count("{") <= levels:
        return False
    brackets = _STRING.sub(b"", text.encode(errors="surrogatepass")).translate(None, _NO_BRACKETS)
    return max(accumulate(_STEP[byte] for byte in brackets), default=0) > levels


def has_nul(text: str) -> bool:
    """Return whether JSON text contains U+0000, which it can only contain as an escape."""
    return "\\u0000" in text and _NUL.search(text) is not None


def is_encodable(text: str) -> bool:
    """Return whether the text has no unpaired surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def non_string_keys(value: object) -> Iterator[object]:
    """Yield the keys of objects in `value` that are not strings. JSON would turn them into strings.

    It uses no recursion, but a value that contains itself has no end.
    """
    level = [value]
    while level:
        inner: list[object] = []
        for each in level:
            if isinstance(each, dict):
                yield from (key for key in each if not isinstance(key, str))
                inner.extend(each.values())
            elif isinstance(each, list | tuple):
                inner.extend(each)
        level = inner


def fault(text: str, limit: int) -> str | None:
    """Return why JSON text of another program cannot be stored and shown, or None.

    `limit` is the maximum size in bytes. PostgreSQL checks the syntax when it stores the text, so
    the text is parsed here only if it has an escape or a number that Python may refuse.
    """
    # A character takes at most four bytes.
    if len(text) > limit // 4 and (size := len(text.encode())) > limit:
        return f"has {size:,} bytes of JSON; the limit is {limit:,}"
    if is_too_deep(text):
        return f"is nested more than {MAX_DEPTH} levels deep"
    if not (
        "\\u" in text
        or _LARGE_EXPONENT.search(text)
        or (len(text) > _DIGITS_MAX and _LONG_NUMBER.search(text))
    ):
        return None
    try:
        written = _encode(json.loads(text))
    except (ValueError, RecursionError) as error:
        return f"is not valid JSON: {error}"
    if has_nul(written) or not is_encodable(written):
        return "contains U+0000 or an unpaired surrogate, which cannot be stored"
    return None
