"""Search the processes of this host for secrets, as a hostile task or command would.

`python -m tests.system.secret_search MARK MARKERS` is the command. A marker is given as two halves,
so that this process does not contain it. Only processes with the mark in their command line are
searched beyond their command line and environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence

from taskmaster import task

_REGION_MAX = 64 * 1_048_576
_FD_MAX = 262_144

Markers = Mapping[str, Sequence[str]]


@task
def search(mark: str, markers: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return where each marker was found."""
    found: dict[str, set[str]] = {name: set() for name in markers}
    for place, data in _everything(mark):
        for name, (first, second) in markers.items():
            if _contains(data, first.encode(), second.encode()):
                found[name].add(place)
    return {name: sorted(places) for name, places in found.items()}


def _contains(data: bytes, first: bytes, second: bytes) -> bool:
    start = data.find(first)
    while start >= 0:
        if data.startswith(second, start + len(first)):
            return True
        start = data.find(first, start + 1)
    return False


def _everything(mark: str) -> Iterator[tuple[str, bytes]]:
    yield "own variables", "\0".join(os.environ.values()).encode()
    yield from (("own memory", each) for each in _own_memory())
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        own = int(pid) == os.getpid()
        command = _read(f"/proc/{pid}/cmdline")
        yield "command lines", command
        yield "own environ" if own else "environ", _read(f"/proc/{pid}/environ")
        if own or mark.encode() in command:
            yield from (("descriptors", each) for each in _descriptors(pid))
        if not own and mark.encode() in command and os.geteuid() != 0:
            # Root can read the memory of every process.
            yield from (("memory", each) for each in _memory(pid))


def _read(path: str) -> bytes:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return file.read()
    return b""


def _regions(pid: str) -> Iterator[tuple[int, int]]:
    """Yield start and size of the writable regions of a process."""
    for line in _read(f"/proc/{pid}/maps").decode(errors="replace").splitlines():
        addresses, rights, *_ = line.split()
        start, end = (int(each, 16) for each in addresses.split("-"))
        if rights.startswith("rw") and end - start <= _REGION_MAX:
            yield start, end - start


def _own_memory() -> Iterator[bytes]:
    """Yield the writable regions of this process, also if /proc/self/mem is closed."""

    class Vector(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))

    libc = ctypes.CDLL(None)
    for start, size in list(_regions("self")):
        buffer = ctypes.create_string_buffer(size)
        ours = Vector(ctypes.addressof(buffer), size)
        theirs = Vector(start, size)
        arguments = (ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0)
        if libc.process_vm_readv(os.getpid(), *arguments) > 0:
            yield buffer.raw


def _memory(pid: str) -> Iterator[bytes]:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        for start, size in _regions(pid):
            with contextlib.suppress(OSError, ValueError):
                file.seek(start)
                yield file.read(size)


def _descriptors(pid: str) -> Iterator[bytes]:
    """Yield what can be read from the open files and pipes of a process."""
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                path = f"{folder}/{name}"
                mode = os.stat(path).st_mode
                if stat.S_ISFIFO(mode) or stat.S_ISREG(mode):
                    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                    try:
                        yield os.read(opened, _FD_MAX)
                    finally:
                        os.close(opened)


if __name__ == "__main__":
    print(json.dumps(search.func(sys.argv[1], json.loads(sys.argv[2]))))
