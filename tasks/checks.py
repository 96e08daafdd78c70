"""Check settings, task modules and the database. Most commands run these system checks first."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004
from django.db import DEFAULT_DB_ALIAS, connections

from taskmaster.tasks import conf, registry
from taskmaster.tasks.errors import ConfigurationError
from taskmaster.tasks.schedules import declarations

#: The tag of TaskMaster's system checks.
TAG = "taskmaster"


@register(TAG)
def wrong_settings(**_: Any) -> list[CheckMessage]:
    """Check that every field of the setting TASKMASTER is known and within its bounds."""
    try:
        conf.settings()
    except ConfigurationError as error:
        return [Error(str(error), id="taskmaster.E001")]
    return []


@register(TAG)
def task_modules(**_: Any) -> list[CheckMessage]:
    """Check that the module `tasks` of every app and TASKMASTER_TASK_MODULES can be imported."""
    try:
        registry.load()
    except ConfigurationError as error:
        return [Error(str(error), id="taskmaster.E002")]
    return []


@register(TAG)
def declared_schedules(**_: Any) -> list[CheckMessage]:
    """Check that the schedules that code declares are valid.

    It is a warning, since a coordinator starts without them and runs the tasks of all others.
    """
    try:
        registry.load()
    except ConfigurationError:
        # `task_modules` reports it.
        return []
    try:
        declarations.load()
    except ConfigurationError as error:
        return [Warning(str(error), id="taskmaster.W003")]
    return []


@register(TAG)
def apps_are_installed(**_: Any) -> list[CheckMessage]:
    """Check that all four apps are installed. They need each other's tables and templates."""
    needed = ("taskmaster", "taskmaster.tasks", "taskmaster.workers", "taskmaster.coordinator")
    return [
        Error(
            f"{app} is missing from INSTALLED_APPS.",
            hint=f"Add {app}; see docs/quickstart/existing-project.md.",
            id="taskmaster.E004",
        )
        for app in needed
        if not apps.is_installed(app)
    ]


@register(TAG)
def tasks_have_a_backend(**_: Any) -> list[CheckMessage]:
    """Check that one alias of TASKS uses TaskMaster's backend.

    Other backends do not store tasks where the coordinators claim them.
    """
    backends = [each.get("BACKEND") for each in getattr(settings, "TASKS", {}).values()]
    if "taskmaster.tasks.backend.TaskMasterBackend" in backends:
        return []
    return [
        Warning(
            f"No alias of TASKS uses TaskMasterBackend, only {', '.join(map(str, backends))}."
            if backends
            else "TASKS is not set, so enqueue() runs tasks immediately in the calling process.",
            hint="Set TASKS = {'default': {'BACKEND': "
            "'taskmaster.tasks.backend.TaskMasterBackend', 'QUEUES': []}}.",
            id="taskmaster.W002",
        )
    ]


@register(TAG)
def database_is_postgresql(**_: Any) -> list[CheckMessage]:
    """Check that the default database, which stores the tasks, is PostgreSQL."""
    vendor = connections[DEFAULT_DB_ALIAS].vendor
    if vendor == "postgresql":
        return []
    return [
        Error(
            f"The default database is {vendor}; TaskMaster requires PostgreSQL.",
            hint="Set DATABASES['default'] to a database with the engine "
            "django.db.backends.postgresql.",
            id="taskmaster.E003",
        )
    ]
