"""Push the changed fragments of the dashboard to its readers."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from asgiref.sync import sync_to_async
from django.urls import reverse
from django_eventstream.views import Listener

from taskmaster.taskmaster_site.live.dashboard_push import ChannelFragments, DashboardPush
from taskmaster.tasks.events.buffer import listeners
from taskmaster.tasks.statistics.read import overview
from tests.factories import stored

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def reading(*channels: str) -> Iterator[Listener]:
    listener = Listener()
    listener.channels, listener.user_id = set(channels), 1
    listener.assign_loop()
    listeners.add_listener(listener)
    try:
        yield listener
    finally:
        listeners.remove_listener(listener)


@asynccontextmanager
async def pushing(push: DashboardPush) -> AsyncIterator[None]:
    task = asyncio.create_task(push.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def pushed(listener: Listener, channel: str) -> dict[str, str]:
    """Wait for the next messages of a channel and return their fragments."""
    fragments: dict[str, str] = {}
    async with asyncio.timeout(10):
        while not (messages := listener.channel_items.pop(channel, [])):
            await asyncio.sleep(0.02)
    for message in messages:
        fragments |= json.loads(message.data)
    return fragments


async def test_only_changed_fragments_are_pushed() -> None:
    channel = ChannelFragments("dashboard", {})
    with reading("dashboard") as listener:
        channel.update({"counters": "1", "tasks": "a"})
        assert await pushed(listener, "dashboard") == {"counters": "1", "tasks": "a"}
        channel.update({"counters": "2", "tasks": "a"})
        assert await pushed(listener, "dashboard") == {"counters": "2"}
        channel.update({"counters": "2", "tasks": "a"})
        assert "dashboard" not in listener.channel_items


async def test_a_new_reader_gets_all_fragments_changed_after_its_version() -> None:
    channel = ChannelFragments("dashboard", {})
    assert channel.since(0) == []
    channel.update({"counters": "1", "tasks": "a"})
    channel.update({"counters": "2", "tasks": "a"})
    [everything], [newer] = channel.since(0), channel.since(1)
    assert json.loads(everything.data) == {"counters": "2", "tasks": "a"}
    assert json.loads(newer.data) == {"counters": "2"}
    assert channel.since(2) == []


async def test_an_event_requests_a_push_and_workers_have_a_channel_of_their_own() -> None:
    renders = iter(range(100))
    push = DashboardPush({"counters": lambda: str(next(renders)), "workers": lambda: "heron"})
    with reading("dashboard", "dashboard-workers") as listener:
        async with pushing(push):
            push.wake()
            assert await pushed(listener, "dashboard") == {"counters": "0"}
            assert await pushed(listener, "dashboard-workers") == {"workers": "heron"}
            push.request()
            assert await pushed(listener, "dashboard") == {"counters": "1"}


async def test_the_counters_arrive_before_other_fragments_are_rendered() -> None:
    finish = threading.Event()

    def tasks() -> str:
        assert finish.wait(10)
        return "tasks"

    push = DashboardPush({"tasks": tasks, "counters": lambda: "1", "workers": lambda: "heron"})
    with reading("dashboard", "dashboard-workers") as listener:
        async with pushing(push):
            push.wake()
            assert await pushed(listener, "dashboard") == {"counters": "1"}
            finish.set()
            assert await pushed(listener, "dashboard") == {"tasks": "tasks"}
            assert await pushed(listener, "dashboard-workers") == {"workers": "heron"}


async def test_nothing_is_rendered_without_a_reader() -> None:
    renders = iter(range(100))
    push = DashboardPush({"counters": lambda: str(next(renders))})
    async with pushing(push):
        push.request()
        await asyncio.sleep(0.5)
    assert next(renders) == 0


async def test_fragments_link_to_the_prefix_of_the_site() -> None:
    push = DashboardPush({"tasks": lambda: reverse("taskmaster:dashboard")})
    push.prefix = "/inside/"
    with reading("dashboard") as listener:
        async with pushing(push):
            assert (await pushed(listener, "dashboard"))["tasks"].startswith("/inside/")


async def test_the_figures_are_counted_when_tasks_have_settled() -> None:
    push = DashboardPush({"counters": lambda: str(overview().pending)})
    with reading("dashboard") as listener:
        async with pushing(push):
            assert (await pushed(listener, "dashboard"))["counters"] == "0"
            # The last count took so long that the next one is not due for hours.
            push._depth._took_s = 1_000.0
            await sync_to_async(stored)(3)
            push.request()
            assert (await pushed(listener, "dashboard"))["counters"] == "3"
