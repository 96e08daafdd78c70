"""What `manage.py check` says of TaskMaster; every command but `runworker` runs it first."""

from __future__ import annotations

from typing import Any

from django.core.checks import Error, register

from tasks import registry
from tasks.errors import ConfigurationError


@register()
def task_modules(**_: Any) -> list[Error]:
    """Every module of TASKMASTER_TASK_MODULES can be imported."""
    try:
        registry.load()
    except ConfigurationError as error:
        return [Error(str(error), id="tasks.E001")]
    return []
