"""Test the memory figures of processes that are hidden from the supervisor."""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from taskmaster.workers.daemon.resources import memory_file

MIB = 1_048_576
#: Larger than everything else that changes in these processes.
SHARED = 40 * MIB


@contextmanager
def forked(connection: socket.socket, other: socket.socket) -> Iterator[int]:
    """Run a fork that sends its memory file, and that grows when it gets a byte."""
    pid = os.fork()
    if pid == 0:
        try:
            other.close()
            memory_file.send(connection)
            connection.recv(1)
            grown = bytearray(os.urandom(MIB)) * 40
            connection.sendall(b"x")
            connection.recv(len(grown))
        finally:
            os._exit(0)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


async def test_a_sent_memory_file_shows_the_current_pss_of_its_process() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, forked(theirs, ours) as pid:
        ours.setblocking(False)
        file = await asyncio.wait_for(memory_file.receive(ours), 20)
        assert file is not None
        before = memory_file.memory_bytes(pid, file)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(ours, b"x")
        assert await asyncio.wait_for(loop.sock_recv(ours, 1), 20) == b"x"
        after = memory_file.memory_bytes(pid, file)
        assert after - before > 30 * MIB
        os.close(file)


async def test_memory_that_processes_share_counts_once() -> None:
    shared = mmap.mmap(-1, SHARED, flags=mmap.MAP_PRIVATE)
    shared.write(b"x" * SHARED)
    ours, theirs = socket.socketpair()
    with ours, theirs, forked(theirs, ours) as pid:
        total = memory_file.memory_bytes(os.getpid()) + memory_file.memory_bytes(pid)
        resident = sum(psutil.Process(each).memory_info().rss for each in (os.getpid(), pid))
        assert resident - total > SHARED * 0.9
    shared.close()


async def test_a_process_that_is_gone_has_no_memory() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with forked(theirs, ours) as pid:
            ours.setblocking(False)
            file = await asyncio.wait_for(memory_file.receive(ours), 20)
        assert file is not None
        assert memory_file.memory_bytes(pid, file) == 0
        assert memory_file.memory_bytes(pid) == 0
        os.close(file)


async def test_a_connection_that_closes_has_no_memory_file() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        ours.setblocking(False)
        assert await asyncio.wait_for(memory_file.receive(ours), 20) is None
