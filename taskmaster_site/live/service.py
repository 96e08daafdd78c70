"""The live part of a web process: started with the first stream or console, one for each loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from psycopg.conninfo import make_conninfo

from coordinator.database import direct_conninfo
from taskmaster_site.live.guard import Guard
from taskmaster_site.live.pusher import Pusher
from taskmaster_site.live.watch import Watchers
from taskmaster_site.pages.fragments import FRAGMENTS
from tasks.conf import settings
from tasks.events.listen import EventListener
from tasks.models import Event

log = logging.getLogger(__name__)

_RESTART_S = 1.0


class Live:
    """The listener, the pusher, the watch and the guard of one process."""

    def __init__(self) -> None:
        self.watchers = Watchers()
        self.guard = Guard(settings().stream_check_s)
        self.pusher = Pusher(FRAGMENTS)
        self.listener = EventListener(
            make_conninfo(direct_conninfo(), application_name="taskmaster-events"),
            on_events=self._on_events,
            on_output=self.watchers.printed,
            on_change=self._on_change,
        )
        parts: dict[str, Any] = {
            "event-listener": self.listener.run,
            "watchers": self.watchers.run,
            "guard": self.guard.run,
            "pusher": self.pusher.run,
        }
        self._tasks = [
            asyncio.create_task(_kept_running(name, run), name=name) for name, run in parts.items()
        ]

    def _on_events(self, events: list[Event]) -> None:
        self.watchers.told(events)
        self.pusher.news()

    def _on_change(self, connected: bool) -> None:
        if connected:
            self.watchers.all_may_have()


async def _kept_running(name: str, run: Any) -> None:
    """A fault of one part is logged and does not end it."""
    while True:
        part: Coroutine[Any, Any, None] = run()
        try:
            await part
        except Exception:
            log.exception("%s failed, begins anew", name)
            await asyncio.sleep(_RESTART_S)


_lives: dict[asyncio.AbstractEventLoop, Live] = {}


def live() -> Live:
    """That of the running loop, started if need be."""
    loop = asyncio.get_running_loop()
    if loop not in _lives:
        _lives.clear()
        _lives[loop] = Live()
    return _lives[loop]
