"""Test a group of processes: start, restart and shutdown."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence

import pytest

from taskmaster.taskmaster_site.demo.process_group import ManagedProcess, ProcessGroup

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


class NoFollowers:
    environment: Mapping[str, str] = {}
    options: Sequence[str] = ()

    async def ready(self) -> bool:
        return True

    async def stop(self) -> None: ...

    async def end(self) -> None: ...

    def skip_grace(self) -> None: ...


async def ready() -> bool:
    return True


async def never() -> bool:
    return False


async def test_a_group_runs_until_it_is_stopped() -> None:
    child = ManagedProcess("web", SLEEP, ready)
    group = ProcessGroup([[child]], NoFollowers())
    assert await group.run(30, group.stop) == 0
    assert child.process is not None
    assert child.process.returncode is not None


async def test_a_process_that_ends_before_the_group_is_ready_ends_the_group(
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing = ManagedProcess("web", [sys.executable, "-c", "raise SystemExit(3)"], never)
    other = ManagedProcess("coordinator", SLEEP, ready)
    assert await ProcessGroup([[failing], [other]], NoFollowers()).run(30, lambda: None) == 1
    assert "web ended with exit code 3; stopping all processes." in capsys.readouterr().out


async def test_a_process_that_is_killed_later_is_restarted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    child = ManagedProcess("web", SLEEP, ready)
    group = ProcessGroup([[child]], NoFollowers())
    started = asyncio.Event()
    run = asyncio.create_task(group.run(30, started.set))
    await started.wait()
    killed = child.process
    assert killed is not None
    killed.kill()
    async with asyncio.timeout(20):
        while child.process is killed:
            await asyncio.sleep(0.05)
    group.stop()
    assert await run == 0
    assert "web ended with SIGKILL; restarting it." in capsys.readouterr().out


async def test_a_process_that_does_not_become_ready_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    group = ProcessGroup([[ManagedProcess("web", SLEEP, never)]], NoFollowers())
    await group.run(0.3, lambda: None)
    assert "Not ready after 0 s: web. See the log above." in capsys.readouterr().out
