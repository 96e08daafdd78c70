"""Start the live parts of a web process once, and restart a part that fails."""

from __future__ import annotations

import asyncio

import pytest

from taskmaster.taskmaster_site.live import runtime
from taskmaster.taskmaster_site.live.runtime import live
from tests.tasks.events.sample import kept

pytestmark = pytest.mark.django_db(transaction=True)


async def test_an_event_loop_has_one_runtime() -> None:
    first = live()
    assert live() is first
    async with asyncio.timeout(10):
        await first.listener.ready.wait()


async def test_an_event_notifies_the_readers_of_its_task() -> None:
    service = live()
    async with service.subscribers.subscribed(7) as changed:
        service._on_events(kept(1, 1, task_id=7))
        assert changed.is_set()


async def test_a_part_that_fails_is_logged_and_restarted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_RESTART_S", 0.01)
    restarted = asyncio.Event()
    runs = 0

    async def part() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError("broken")
        restarted.set()
        await asyncio.Future()

    task = asyncio.create_task(runtime._run_forever("part", part))
    async with asyncio.timeout(10):
        await restarted.wait()
    task.cancel()
    assert "part failed, restarting" in caplog.text
