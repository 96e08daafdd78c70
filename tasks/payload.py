"""Validate the arguments of a call, and convert them to JSON texts."""

from __future__ import annotations

import json

from taskmaster.tasks.conf import settings
from taskmaster.tasks.errors import InvalidField, TooLarge
from taskmaster.tasks.json_rules import (
    MAX_DEPTH,
    has_nul,
    is_encodable,
    is_too_deep,
    non_string_keys,
)
from taskmaster.tasks.options import json_type

#: A shared encoder. `json.dumps` creates an encoder for each call with non-default options.
_encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode


def payload(args: object, kwargs: object, *, at: str = "") -> tuple[str, str]:
    """Return the JSON texts of args (a list) and kwargs (an object).

    Raise TooLarge if both together exceed `args_max_bytes`, and InvalidField for other errors.
    """
    args = [] if args is None else args
    kwargs = {} if kwargs is None else kwargs
    if not isinstance(args, list | tuple):
        raise InvalidField(f"{at}args", f"must be a list, not {json_type(args)}.")
    if not isinstance(kwargs, dict):
        raise InvalidField(f"{at}kwargs", f"must be an object, not {json_type(kwargs)}.")
    for key in kwargs:
        if not isinstance(key, str):
            raise InvalidField(f"{at}kwargs", f"keys must be strings, not {json_type(key)}.")
    texts = _json(args, f"{at}args"), _json(kwargs, f"{at}kwargs")
    size, limit = sum(len(text.encode()) for text in texts), settings().args_max_bytes
    if size > limit:
        raise TooLarge(
            f"{at}args",
            f"args and kwargs have {size:,} bytes of JSON; the limit is {limit:,}.",
        )
    return texts


def _json(value: object, field: str) -> str:
    try:
        text = _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidField(field, f"is not valid JSON: {error}.") from None
    if is_too_deep(text):
        raise InvalidField(field, f"is nested more than {MAX_DEPTH} levels deep.")
    if has_nul(text) or not is_encodable(text):
        raise InvalidField(
            field, "contains U+0000 or an unpaired surrogate, which cannot be stored."
        )
    # The top level has been checked, and a text without a second brace has no other object.
    if "{" in text[1:]:
        for key in non_string_keys(value):
            raise InvalidField(
                field,
                f"has an object with the key {key!r}, {json_type(key)}; keys must be strings.",
            )
    return text
