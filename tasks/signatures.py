"""Check calls against the signature of the task's callable, so that a worker can make them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from taskmaster.tasks.errors import InvalidField

if TYPE_CHECKING:
    from taskmaster.tasks.compat import Task


class CallSignature(NamedTuple):
    """Hold what a call must contain. The context of a task is not a part of it."""

    #: The name and the parameters, for error messages.
    text: str
    #: Number of parameters that can be positional, or None if `*args` accepts any number.
    positional_max: int | None
    #: Position of each parameter that has no default value. None: it is keyword-only.
    required: Mapping[str, int | None]
    #: Position of each parameter that can be given by keyword. None: it is keyword-only.
    keywords: Mapping[str, int | None]
    #: Whether `**kwargs` accepts any other keyword.
    any_keyword: bool


def check_call(
    task: Task[..., Any], args: Sequence[object], kwargs: Mapping[str, object], *, at: str = ""
) -> None:
    """Raise InvalidField unless the task's callable accepts the arguments.

    `at` is the prefix of field names in the error.
    """
    signature = _signature(task.func, task.takes_context)
    count = len(args)
    if signature.positional_max is not None and count > signature.positional_max:
        raise InvalidField(
            f"{at}args",
            f"has {count} arguments; {signature.text} accepts {signature.positional_max}.",
        )
    for name in kwargs:
        if name in signature.keywords:
            position = signature.keywords[name]
            if position is not None and position < count:
                raise InvalidField(
                    f"{at}kwargs",
                    f"argument {name!r} of {signature.text} is also argument {position + 1} in "
                    "args; give it once.",
                )
        elif not signature.any_keyword:
            raise InvalidField(
                f"{at}kwargs", f"unknown argument {name!r}; the signature is {signature.text}."
            )
    for name, position in signature.required.items():
        if (position is None or position >= count) and (
            name not in kwargs or name not in signature.keywords
        ):
            raise InvalidField(
                f"{at}{'kwargs' if kwargs else 'args'}",
                f"missing argument {name!r}; the signature is {signature.text}.",
            )


@lru_cache(maxsize=10_000)
def _signature(function: Callable[..., Any], takes_context: bool) -> CallSignature:
    # A wrapper may add arguments of its own, so its signature counts, and not that of the wrapped
    # function.
    parameters = list(inspect.signature(function, follow_wrapped=False).parameters.values())
    kinds = [each.kind for each in parameters]
    positional = [
        each
        for each in parameters
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    if takes_context and positional:
        parameters.remove(positional.pop(0))
    positions = {each.name: index for index, each in enumerate(positional)}
    named = [
        each for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    return CallSignature(
        text=f"{function.__name__}({', '.join(map(_describe, parameters))})",
        positional_max=None if inspect.Parameter.VAR_POSITIONAL in kinds else len(positional),
        required={
            each.name: positions.get(each.name) for each in named if each.default is each.empty
        },
        keywords={
            each.name: positions.get(each.name)
            for each in named
            if each.kind is not each.POSITIONAL_ONLY
        },
        any_keyword=inspect.Parameter.VAR_KEYWORD in kinds,
    )


def _describe(parameter: inspect.Parameter) -> str:
    """Return the parameter without annotation, and with `=…` for a default of any length."""
    stars = ""
    if parameter.kind is parameter.VAR_POSITIONAL:
        stars = "*"
    elif parameter.kind is parameter.VAR_KEYWORD:
        stars = "**"
    default = "" if parameter.default is parameter.empty else "=…"
    return f"{stars}{parameter.name}{default}"
