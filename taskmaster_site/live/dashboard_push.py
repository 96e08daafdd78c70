"""Render dashboard fragments once and push the changed ones to every subscriber.

It pushes at most four times a second and spends at most a fifth of the time on it. Both limits
hold for any number of events and subscribers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection
from django.urls import clear_script_prefix, set_script_prefix
from django_eventstream.event import Event as Message
from psycopg_pool import PoolTimeout

from taskmaster.tasks.backoff import Backoff, run_every
from taskmaster.tasks.events.buffer import MessageSource, listeners
from taskmaster.tasks.events.channels import (
    COORDINATORS,
    DASHBOARD,
    DASHBOARD_WORKERS,
    WORKERS,
)
from taskmaster.tasks.events.rate_limit import RateLimit
from taskmaster.tasks.statistics.depth import DepthCounter

log = logging.getLogger(__name__)

#: Three pushes a second on average under continuous events, four at most.
_INTERVAL_S, _BURST = 1 / 3, 2
#: Longest interval between pushes, in seconds. Tasks fall due and workers fall silent without an
#: event.
_LONGEST_S = 1.0
#: Pause after a push, as a multiple of its duration.
_PAUSE_SHARE = 4
_RETRY_S = 1.0
#: Channel by fragment, because readers need permissions. All others are sent on DASHBOARD.
_CHANNELS = {
    "workers": DASHBOARD_WORKERS,
    "pools": DASHBOARD_WORKERS,
    "coordinators": COORDINATORS,
    "worker-list": WORKERS,
}

#: Sent before all others are rendered: on a busy machine that takes longer than the count.
_FIRST = "counters"

Fragments = Mapping[str, Callable[[], str]]


@dataclass(slots=True)
class ChannelFragments:
    """Hold the fragments of one channel, each with the version at which it last changed."""

    name: str
    fragments: Fragments
    current: dict[str, tuple[int, str]] = field(default_factory=dict)
    version: int = 0

    @property
    def is_read(self) -> bool:
        """Return whether this process has a reader of the channel."""
        return self.name in listeners.listeners_by_channel

    def since(self, version: int) -> list[Message]:
        """Return one message with all fragments changed after this version, or no message."""
        newer = {name: html for name, (at, html) in self.current.items() if at > version}
        if not newer:
            return []
        return [Message(self.name, "fragments", json.dumps(newer), id=self.version)]

    def update(self, rendered: Mapping[str, str]) -> None:
        """Send the fragments that differ from the last ones."""
        before = self.version
        for name, html in rendered.items():
            if self.current.get(name, (0, None))[1] != html:
                self.current[name] = before + 1, html
                self.version = before + 1
        for message in self.since(before):
            listeners.add_to_queues(self.name, message)


class DashboardPush:
    """Push fragments to the readers of this web process."""

    def __init__(self, fragments: Fragments) -> None:
        by_channel: dict[str, dict[str, Callable[[], str]]] = {}
        for name, render in fragments.items():
            by_channel.setdefault(_CHANNELS.get(name, DASHBOARD), {})[name] = render
        self._channels = [ChannelFragments(name, each) for name, each in by_channel.items()]
        #: Path prefix of the site. Fragments are rendered outside a request and need it for links.
        self.prefix = "/"
        self._requested = asyncio.Event()
        self._woken = asyncio.Event()
        self._rate = RateLimit(_INTERVAL_S, _BURST)
        self._depth = DepthCounter()
        #: Time of the last event.
        self._requested_at = time.monotonic()
        #: Whether the next push is made because no event has arrived for a while.
        self._settled = False

    @property
    def sources(self) -> dict[str, MessageSource]:
        """Return, for each channel, the function that gives a new reader its fragments."""
        return {channel.name: channel.since for channel in self._channels}

    def request(self) -> None:
        """Request a push because an event arrived."""
        self._requested_at = time.monotonic()
        self._requested.set()

    def wake(self) -> None:
        """Wake the loop because a reader connected."""
        self._woken.set()

    async def run(self) -> None:
        """Push until cancelled."""
        await run_every(
            0.0,
            self._push_when_due,
            retry_on=(DatabaseError, PoolTimeout),
            backoff=Backoff(_RETRY_S, _RETRY_S),
            on_error=_log_failure,
        )

    async def _push_when_due(self) -> None:
        """Push once, and wait until the next push is due. Without readers, wait for one."""
        read_channels = [channel for channel in self._channels if channel.is_read]
        for channel in self._channels:
            if channel not in read_channels:
                # Drop unread fragments, so that the next reader gets no outdated ones.
                channel.current.clear()
        if not read_channels:
            await self._woken.wait()
            self._woken.clear()
            return
        await self._rate.wait()
        self._requested.clear()
        began = time.monotonic()
        await self._push(read_channels)
        ended = time.monotonic()
        self._settled = await self._wait_until_due(ended + _PAUSE_SHARE * (ended - began))

    async def _wait_until_due(self, resume_at: float) -> bool:
        """Wait until the next push is due: after an event or `_LONGEST_S`, not before `resume_at`.

        Return True as soon as the tasks have settled, also before `resume_at`.
        """
        while True:
            settles_at = self._depth.settles_at(self._requested_at)
            requested = self._requested.is_set()
            due_at = resume_at if requested else resume_at + _LONGEST_S
            now = time.monotonic()
            if now >= min(due_at, settles_at):
                return now >= settles_at
            wait_s = min(due_at, settles_at) - now
            if requested:
                await asyncio.sleep(wait_s)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._requested.wait()

    async def _push(self, channels: list[ChannelFragments]) -> None:
        render = sync_to_async(self._render, thread_sensitive=False)
        counted = False
        for is_first in (True, False):
            for channel in channels:
                wanted = {
                    name: each
                    for name, each in channel.fragments.items()
                    if (name == _FIRST) == is_first
                }
                if wanted:
                    channel.update(await render(wanted, count=not counted))
                    counted = True

    def _render(self, fragments: Fragments, *, count: bool) -> dict[str, str]:
        """Render these fragments, after counting the tasks if `count` is true."""
        set_script_prefix(self.prefix)
        try:
            if count:
                self._depth.count_for_web(settled=self._settled)
            return {name: render() for name, render in fragments.items()}
        finally:
            clear_script_prefix()
            connection.close()


def _log_failure(error: Exception) -> None:
    log.warning("dashboard not pushed", extra={"error": str(error).strip()})
