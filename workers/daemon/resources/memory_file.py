"""Read the memory of processes that are hidden, see `taskmaster.workers.security.private_process`.

The kernel checks who opens `/proc/PID/smaps_rollup`, but not who reads it. A hidden process
therefore opens its own and sends it to the supervisor, which can read it at any time, also while a
task runs.

The memory of a process is its PSS: a page that several processes share counts in parts. The sum
over all processes is then the memory that they use. A sum of resident memory would count the pages
that children share with the fork server once per child.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

import psutil

_PATH = "/proc/{}/smaps_rollup"
_SIZE = 4_096
_PSS = b"\nPss:"


def send(connection: socket.socket) -> None:
    """Send the memory file of this process as the first message to the supervisor."""
    fds = []
    with contextlib.suppress(OSError):
        fds.append(os.open(_PATH.format("self"), os.O_RDONLY))
    with contextlib.suppress(OSError):
        # Without a supervisor the next read ends this process.
        socket.send_fds(connection, [b"\0"], fds)
    for fd in fds:
        os.close(fd)


async def receive(connection: socket.socket) -> int | None:
    """Return the memory file that `send` sends, or None. The socket does not block."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connection)
    try:
        _, fds, _, _ = socket.recv_fds(connection, 1, 1)
    except OSError:
        return None
    return fds[0] if fds else None


def memory_bytes(pid: int, file: int | None = None) -> int:
    """Return the memory of a process, or 0 if it is gone. `file` is the memory file it has sent."""
    try:
        if file is not None:
            text = os.pread(file, _SIZE, 0)
        else:
            with open(_PATH.format(pid), "rb") as opened:
                text = opened.read()
        return int(text.partition(_PSS)[2].split(maxsplit=1)[0]) * 1_024
    except (OSError, ValueError, IndexError):
        return _private_bytes(pid)


def _private_bytes(pid: int) -> int:
    """Return the resident memory without the pages of files, where PSS cannot be read."""
    try:
        memory = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0
    return int(memory.rss - getattr(memory, "shared", 0))
