"""Test running programs from a process that runs gRPC."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import psutil
import pytest

from taskmaster.workers.pools.commands import CommandResult, run


async def test_a_program_returns_its_code_output_and_errors() -> None:
    script = 'read line || echo empty; echo "$WORD"; echo oh >&2; exit 3'
    done = await run(("sh", "-c", script), {"WORD": "hé"})
    assert done == CommandResult(3, "empty\nhé\n", "oh\n")


async def test_background_processes_of_a_program_do_not_delay_its_end() -> None:
    async with asyncio.timeout(15):
        done = await run(("sh", "-c", "sleep 60 & echo $!"), {"PATH": os.environ["PATH"]})
    psutil.Process(int(done.output)).kill()


async def test_a_cancelled_call_kills_the_program_and_its_children(tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/part; mv {tmp_path}/part {tmp_path}/pid; sleep 60; :"
    call = asyncio.create_task(run(("sh", "-c", script), {"PATH": os.environ["PATH"]}))
    async with asyncio.timeout(10):
        while not (tmp_path / "pid").exists():
            await asyncio.sleep(0.01)
        pid = int((tmp_path / "pid").read_text())
        (child,) = await _children(pid)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        while psutil.pid_exists(pid) or child.is_running():
            await asyncio.sleep(0.01)


async def _children(pid: int) -> list[psutil.Process]:
    while not (found := psutil.Process(pid).children()):
        await asyncio.sleep(0.01)
    return found


async def test_a_missing_program_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        await run(("no-such-program",), {})
