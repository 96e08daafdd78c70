"""How long a failed task waits before its next attempt."""

from __future__ import annotations

from collections.abc import Callable
from random import random

from tasks.conf import Settings

#: Up to this share of the pause is taken off at random, so that what failed together does not
#: come back together.
_JITTER = 0.25


def pause_s(attempt: int, conf: Settings, *, chance: Callable[[], float] = random) -> float:
    """Seconds before the attempt that follows this one: exponential, capped, jittered."""
    full = min(conf.retry_cap_s, conf.retry_base_s * 2.0 ** min(attempt - 1, 60))
    return full * (1 - _JITTER * chance())
