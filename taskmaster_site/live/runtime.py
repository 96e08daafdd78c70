"""Start the live parts of a web process with its first stream or console, once per event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from psycopg.conninfo import make_conninfo

from taskmaster.coordinator.support.database import direct_conninfo
from taskmaster.taskmaster_site.live.dashboard_push import DashboardPush
from taskmaster.taskmaster_site.live.link_monitor import LinkMonitor
from taskmaster.taskmaster_site.live.reauthorize import Reauthorizer
from taskmaster.taskmaster_site.live.subscriptions import TaskSubscribers
from taskmaster.taskmaster_site.pages.fragments import FRAGMENTS
from taskmaster.tasks.backoff import run_every
from taskmaster.tasks.conf import settings
from taskmaster.tasks.events.buffer import listeners
from taskmaster.tasks.events.listen import EventListener
from taskmaster.tasks.models import Event

log = logging.getLogger(__name__)

_RESTART_S = 1.0


class LiveRuntime:
    """Run the event listener and the parts that use its events, for one process."""

    def __init__(self) -> None:
        self.subscribers = TaskSubscribers()
        self.reauthorizer = Reauthorizer(settings().stream_check_s)
        self.dashboard = DashboardPush(FRAGMENTS)
        self.links = LinkMonitor(has_readers=listeners.has_readers, on_change=listeners.wake)
        self.listener = EventListener(
            make_conninfo(direct_conninfo(), application_name="taskmaster-events"),
            on_events=self._on_events,
            on_output=self.subscribers.notify_output,
            on_connect=self.subscribers.notify_all,
        )
        parts: dict[str, Callable[[], Awaitable[None]]] = {
            "event-listener": self.listener.run,
            "task-subscriptions": self.subscribers.run,
            "reauthorizer": self.reauthorizer.run,
            "dashboard-push": self.dashboard.run,
            "link-monitor": self.links.run,
        }
        self._tasks = [
            asyncio.create_task(_run_forever(name, run), name=name) for name, run in parts.items()
        ]

    def _on_events(self, events: list[Event]) -> None:
        self.subscribers.notify_changed(events)
        self.dashboard.request()


async def _run_forever(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a part. If it fails, log the error and restart it."""
    await run_every(
        _RESTART_S,
        run,
        retry_on=(Exception,),
        on_error=lambda _: log.exception("%s failed, restarting", name),
    )


_runtimes: dict[asyncio.AbstractEventLoop, LiveRuntime] = {}


def live() -> LiveRuntime:
    """Return the instance of the running event loop; start it on first use."""
    loop = asyncio.get_running_loop()
    if loop not in _runtimes:
        _runtimes.clear()
        _runtimes[loop] = LiveRuntime()
    return _runtimes[loop]
