"""Provide the pause of everything for the banner of all pages."""

from __future__ import annotations

from typing import Any

from django import template

from taskmaster.tasks.models import Pause
from taskmaster.tasks.permissions import VIEW
from taskmaster.tasks.queries import pauses

register = template.Library()


@register.simple_tag(takes_context=True)
def pause_of_everything(context: dict[str, Any]) -> Pause | None:
    """Return the pause of everything if the user may view tasks, otherwise None."""
    user = context.get("user")
    if user is None or not user.has_perm(VIEW):
        return None
    return pauses.pause_of_everything()
