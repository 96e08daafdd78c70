"""Test that children above the memory limit are recycled, with real children."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from taskmaster.workers.daemon.resources.memory_limit import MemoryWatch
from tests.waiting import until
from tests.workers.daemon.child.slots_bench import running_slots

pytestmark = pytest.mark.usefixtures("child_environment")


async def test_memory_that_an_attempt_takes_after_a_check_is_found_by_the_next(
    tmp_path: Path,
) -> None:
    path = tmp_path / "go"
    async with running_slots("process") as running:
        watch = MemoryWatch(running.slots, running.client, limit_mb=250)
        attempt = running.start("take_memory", str(path), 300)
        await running.until_printed(attempt, "waiting")
        watch.check()
        path.touch()
        pid = await running.result(attempt)
        assert psutil.pid_exists(pid)
        watch.check()
        await until(lambda: not psutil.pid_exists(pid))
