"""Render the parts of the dashboard that are pushed to every browser.

Each fragment is rendered once for all readers, from the template that the page includes. Its text
depends neither on the reader nor on the current time, so an equal text means no change. A button
that needs a permission is always rendered; a class of the page's body shows it. The browser counts
the seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from django.template.loader import render_to_string

from taskmaster.taskmaster_site.pages import page_context


def _template(name: str, context: Callable[[], page_context.Context]) -> Callable[[], str]:
    def render() -> str:
        return render_to_string(f"taskmaster/fragments/{name}.html", context())

    return render


def _charts() -> str:
    return json.dumps(page_context.charts(), separators=(",", ":"))


#: Render functions by fragment name. `charts` is JSON. `worker-list` is a version of the list,
#: which readers fetch with their own filters. All others are HTML.
FRAGMENTS: dict[str, Callable[[], str]] = {
    "counters": _template("counters", page_context.counters),
    "charts": _charts,
    "pause_banner": _template("pause_banner", page_context.pause_banner),
    "queues": _template("queues", page_context.queues),
    "tasks": _template("tasks", page_context.tasks),
    "activity": _template("activity", page_context.activity),
    "workers": _template("workers", page_context.workers),
    "pools": _template("pools", page_context.pools),
    "coordinators": _template("coordinators", page_context.coordinators),
    "worker-list": page_context.fleet_version,
}
