"""Programs that are run beside gRPC."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import psutil
import pytest

from workers.pools.commands import Finished, run


async def test_a_program_gives_code_output_and_errors() -> None:
    script = 'read line || echo nobody; echo "$WORD"; echo oh >&2; exit 3'
    done = await run(("sh", "-c", script), {"WORD": "hé"})
    assert done == Finished(3, "nobody\nhé\n", "oh\n")


async def test_what_a_program_leaves_behind_holds_nobody_up() -> None:
    async with asyncio.timeout(5):
        done = await run(("sh", "-c", "sleep 60 & echo $!"), {"PATH": os.environ["PATH"]})
    psutil.Process(int(done.output)).kill()


async def test_whoever_gives_up_ends_the_program_and_what_it_began(tmp_path: Path) -> None:
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


async def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        await run(("no-such-program",), {})
