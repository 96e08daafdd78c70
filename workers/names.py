"""Define the names that the daemon, the models and the pools share."""

from __future__ import annotations

import re

#: Rule for the name of a worker pool: a DNS label, so that a service or a Deployment can have it.
POOL_NAME = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
#: How a worker executes Python tasks (`--executor`).
EXECUTORS = ("process", "thread", "async")


def is_pool_name(text: str) -> bool:
    """Return whether a worker pool can have this name."""
    return re.fullmatch(POOL_NAME, text) is not None
