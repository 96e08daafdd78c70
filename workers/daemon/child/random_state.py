"""Give each child random numbers of its own.

A fork copies the state of random generators. Python itself renews only the one behind the functions
of `random`, and OpenSSL its own.
"""

from __future__ import annotations

import os
import random
import sys
from typing import Any


class _Generators:
    """Hold the generators that modules hold.

    The fork server searches them, because a search takes milliseconds. Its children inherit them.
    """

    found: tuple[Any, ...] = ()
    #: Number of modules at the last search.
    modules = 0
    #: False in a child: what tasks fork keeps its copies, as in any Python program.
    searches = True


def _search() -> None:
    if not _Generators.searches or _Generators.modules == len(sys.modules):
        return
    kinds: tuple[Any, ...] = (random.Random,)
    if numpy := sys.modules.get("numpy.random"):
        kinds += (numpy.RandomState, numpy.Generator)
    found = {
        id(value): value
        for module in list(sys.modules.values())
        for value in list(getattr(module, "__dict__", {}).values())
        if isinstance(value, kinds)
    }
    _Generators.found, _Generators.modules = tuple(found.values()), len(sys.modules)


def reseed() -> None:
    """Seed the generators that modules held when this child was forked."""
    _Generators.searches = False
    for generator in _Generators.found:
        _seed(generator)


def _seed(generator: Any) -> None:
    if hasattr(generator, "bit_generator"):
        # The generator stays the same object, because modules may have imported it by name.
        bits = generator.bit_generator
        bits.state = type(bits)().state
    else:
        generator.seed()


os.register_at_fork(before=_search)
