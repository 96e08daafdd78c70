"""The parts of the dashboard that are pushed to every browser, each rendered once for all.

The page includes the same templates. Nothing here depends on who looks or on the time that passes,
so that a fragment whose text is the same has not changed: a button that needs a permission is there
for all and shown by a class of the page's body, and the browser counts the seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from django.template.loader import render_to_string

from taskmaster_site.pages import figures


def _template(name: str, context: Callable[[], figures.Context]) -> Callable[[], str]:
    def render() -> str:
        return render_to_string(f"taskmaster/fragments/{name}.html", context())

    return render


def _charts() -> str:
    return json.dumps(figures.charts(), separators=(",", ":"))


#: By name; `charts` is JSON, everything else HTML.
FRAGMENTS: dict[str, Callable[[], str]] = {
    "counters": _template("counters", figures.counters),
    "charts": _charts,
    "queues": _template("queues", figures.queues),
    "tasks": _template("tasks", figures.tasks),
    "activity": _template("activity", figures.activity),
    "workers": _template("workers", figures.workers),
    "pools": _template("pools", figures.pools),
}
