"""Schedule tasks across many workers for Django. TaskMaster needs only PostgreSQL.

The package folders are at the top of the checkout. `taskmaster/` links to them, so imports have the
form `taskmaster.…` both in a checkout and in an installed wheel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskmaster.tasks.current import current_task
    from taskmaster.tasks.declaration import task
    from taskmaster.tasks.timing.declared import Cron, Dates, Every

__all__ = [
    "Cron",
    "Dates",
    "Every",
    "__version__",
    "current_task",
    "require_full_name",
    "task",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import what tasks and schedules are declared with on first access."""
    if name == "task":
        from taskmaster.tasks.declaration import task

        return task
    if name in ("Cron", "Dates", "Every"):
        from taskmaster.tasks.timing import declared

        return getattr(declared, name)
    if name == "current_task":
        from taskmaster.tasks.current import current_task

        return current_task
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def require_full_name(module: str) -> None:
    """Raise ImportError unless `module` is imported below `taskmaster`.

    The checkout is on `sys.path`, so `import tasks` would find the folder a second time and
    register every model twice.
    """
    if not module.startswith(f"{__name__}."):
        raise ImportError(
            f"{module} was imported as a top-level package; import {__name__}.{module} instead."
        )
