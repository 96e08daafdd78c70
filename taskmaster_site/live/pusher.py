"""Pushes what the dashboard shows: rendered once for all who look, and only what has changed.

At most four times a second, and no more than a fifth of the time is spent on it, however much
happens and however many look.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection
from django_eventstream.event import Event as Message
from django_eventstream.views import get_listener_manager
from psycopg_pool import PoolTimeout

from tasks.events import ring
from tasks.events.channels import DASHBOARD, DASHBOARD_WORKERS
from tasks.events.pace import Pace
from tasks.statistics.census import Census

log = logging.getLogger(__name__)

#: Three pushes a second when there is much news, and never more than four.
_INTERVAL_S, _BURST = 1 / 3, 2
#: The longest time without one: tasks fall due, workers grow silent.
_SLOWEST_S = 1.0
#: A push is followed by a pause of so many times what it took.
_SHARE = 4
_RETRY_S = 1.0
#: The fragments that only who may see workers is shown.
_OF_WORKERS = frozenset({"workers", "pools"})

_census = Census()

Fragments = Mapping[str, Callable[[], str]]


@dataclass(slots=True)
class Channel:
    """What one channel's readers see: each fragment with the version at which it changed."""

    name: str
    fragments: Fragments
    shown: dict[str, tuple[int, str]] = field(default_factory=dict)
    version: int = 0

    @property
    def listened(self) -> bool:
        """Whether anybody reads it here."""
        return self.name in get_listener_manager().listeners_by_channel

    def since(self, version: int) -> list[Message]:
        """One message with what has changed after this version."""
        newer = {name: html for name, (at, html) in self.shown.items() if at > version}
        if not newer:
            return []
        return [Message(self.name, "fragments", json.dumps(newer), id=self.version)]

    def take(self, rendered: Mapping[str, str]) -> None:
        """Sends what differs from what was shown before."""
        before = self.version
        for name, html in rendered.items():
            if self.shown.get(name, (0, None))[1] != html:
                self.shown[name] = before + 1, html
                self.version = before + 1
        for message in self.since(before):
            get_listener_manager().add_to_queues(self.name, message)


class Pusher:
    """Of one web process."""

    def __init__(self, fragments: Fragments) -> None:
        of_workers = {name: fragments[name] for name in fragments if name in _OF_WORKERS}
        of_tasks = {name: fragments[name] for name in fragments if name not in _OF_WORKERS}
        self._channels = [Channel(DASHBOARD, of_tasks), Channel(DASHBOARD_WORKERS, of_workers)]
        for channel in self._channels:
            ring.others[channel.name] = channel.since
        self._news = asyncio.Event()
        self._wanted = asyncio.Event()
        self._pace = Pace(_INTERVAL_S, _BURST)

    def news(self) -> None:
        """Something has happened."""
        self._news.set()

    def wanted(self) -> None:
        """Somebody has begun to look."""
        self._wanted.set()

    async def run(self) -> None:
        """Pushes until cancelled."""
        while True:
            listened = [channel for channel in self._channels if channel.listened]
            for channel in self._channels:
                if channel not in listened:
                    # What is old by the time somebody looks again must not be shown to them.
                    channel.shown.clear()
            if not listened:
                await self._wanted.wait()
                self._wanted.clear()
                await asyncio.sleep(0)
                continue
            await self._pace.turn()
            self._news.clear()
            began = time.monotonic()
            try:
                await self._push(listened)
            except (DatabaseError, PoolTimeout) as error:
                log.warning("dashboard not pushed", extra={"error": str(error).strip()})
                await asyncio.sleep(_RETRY_S)
            await asyncio.sleep(_SHARE * (time.monotonic() - began))
            try:
                async with asyncio.timeout(_SLOWEST_S):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def _push(self, channels: list[Channel]) -> None:
        rendered = await sync_to_async(self._render, thread_sensitive=False)(channels)
        for channel, fragments in zip(channels, rendered, strict=True):
            channel.take(fragments)

    @staticmethod
    def _render(channels: list[Channel]) -> list[dict[str, str]]:
        try:
            _census.take_for_screen()
            return [
                {name: render() for name, render in channel.fragments.items()}
                for channel in channels
            ]
        finally:
            connection.close()
