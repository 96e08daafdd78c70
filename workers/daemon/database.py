"""What a task's own database connections need: the only place here that knows `django.db`.

The launcher and the children import it, the supervisor never.
"""

from __future__ import annotations

from django.db import close_old_connections, connections, reset_queries


def close_before_fork() -> None:
    """A connection must not be shared by two processes."""
    connections.close_all()
    for alias in connections:
        pool = getattr(connections[alias], "close_pool", None)
        if pool is not None and connections[alias].settings_dict.get("OPTIONS", {}).get("pool"):
            pool()


def tidy() -> None:
    """Around each task, as Django does around each request: what is old or broken is closed."""
    reset_queries()
    close_old_connections()
