"""Read which task names the connected workers have announced.

During a rolling deployment, new workers may know names that this process does not.
"""

from __future__ import annotations

import time

from taskmaster.tasks import shards
from taskmaster.tasks.store import sync_store as store

#: Age in seconds above which a coordinator's rows are ignored: it may be dead.
CAPACITY_AGE_MAX_S = 15.0
#: Seconds for which announced names are cached. A bulk of many tasks then needs one query.
_CACHE_S = 1.0

#: The names of each database, by alias, and when they were read.
_cache: dict[str, tuple[float, set[str]]] = {}


def announced_names() -> set[str]:
    """Return the names that connected workers have announced."""
    return store.list_known_names(silence_s=CAPACITY_AGE_MAX_S, using=shards.current())


def is_announced(name: str) -> bool:
    """Return whether a connected worker has announced the name.

    Only a positive answer is cached.
    """
    alias, now = shards.current(), time.monotonic()
    read_at, names = _cache.get(alias, (float("-inf"), set()))
    if name not in names or now - read_at >= _CACHE_S:
        names = announced_names()
        _cache[alias] = now, names
    return name in names


def clear_cache() -> None:
    """Clear the cached answers. The next look-up queries the database."""
    _cache.clear()
