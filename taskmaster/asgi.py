"""Add streams and consoles to a project's ASGI application.

application = taskmaster.asgi.wrap(get_asgi_application())
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskmaster.tasks.extras import require_extra

if TYPE_CHECKING:
    from taskmaster.taskmaster_site.application import TaskMasterApplication


def wrap(application: Any) -> TaskMasterApplication:
    """Return an ASGI application that serves TaskMaster's streams and consoles.

    Everything else is passed to `application`: Django's application, or the project's own router.
    Call it after `get_asgi_application()`, which loads the apps. Raises MissingExtra if `[site]` is
    not installed, and ConfigurationError for wrong settings or for task modules that cannot be
    imported.
    """
    require_extra("site", "taskmaster.asgi", "channels", "django-eventstream")
    from taskmaster.taskmaster_site.application import TaskMasterApplication

    return TaskMasterApplication(application)
