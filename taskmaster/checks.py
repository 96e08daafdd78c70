"""Define system checks of TaskMaster's commands and URLs in a project."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.management import get_commands
from django.urls import NoReverseMatch, URLResolver, get_resolver, reverse

from taskmaster.tasks.checks import TAG

#: Management commands by name, each with its app.
_COMMANDS = {
    "runcoordinator": "taskmaster.coordinator",
    "runworker": "taskmaster.workers",
    "taskmaster": "taskmaster",
}


@checks.register(TAG)
def commands_belong_to_taskmaster(**_: Any) -> list[checks.CheckMessage]:
    """Warn if another app overrides a command. Channels, for example, has a `runworker`."""
    found = get_commands()
    return [
        checks.Warning(
            f"`manage.py {command}` runs the command of {found.get(command)}, not TaskMaster's.",
            hint=f"Put {app} before {found.get(command)} in INSTALLED_APPS.",
            id="taskmaster.W001",
        )
        for command, app in _COMMANDS.items()
        if command in found and found[command] != app
    ]


@checks.register(checks.Tags.urls)
def urls_can_be_reversed(**_: Any) -> list[checks.CheckMessage]:
    """Check that URLs reverse in the namespace `taskmaster` without arguments, as all links do."""
    if not getattr(settings, "ROOT_URLCONF", None) or not _includes_taskmaster(get_resolver()):
        return []
    try:
        reverse("taskmaster:dashboard")
    except NoReverseMatch:
        return [
            checks.Error(
                "taskmaster.urls is included where its URLs cannot be reversed.",
                hint="Include it in the root URLconf, or below prefixes without a namespace and "
                "without arguments.",
                id="taskmaster.E005",
            )
        ]
    return []


def _includes_taskmaster(resolver: URLResolver) -> bool:
    return resolver.app_name == "taskmaster" or any(
        _includes_taskmaster(each)
        for each in resolver.url_patterns
        if isinstance(each, URLResolver)
    )
