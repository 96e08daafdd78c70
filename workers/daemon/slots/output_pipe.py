"""Read the stdout and stderr of children."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

_READ = 65_536
#: Larger than any pipe. Everything that a child wrote before it ended is read within this limit,
#: and a pipe that is written to continuously does not block the supervisor.
_DRAIN_MAX = 1_048_576
#: Pause between reads of a child that has exceeded its output cap. Only that child waits.
_FLOOD_PAUSE_S = 0.005


class OutputPipe:
    """Read one output stream of a child.

    `sink` receives the bytes. It returns True when the stream may be read slowly.
    """

    def __init__(self, sink: Callable[[bytes], bool]) -> None:
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._fd, self.writing_end = os.pipe()
        os.set_blocking(self._fd, False)
        self._open = True
        self._pause: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._fd, self._readable)

    def read_available(self) -> None:
        """Read the bytes that are in the pipe now."""
        done = 0
        while self._open and done < _DRAIN_MAX and (data := self._read()):
            self._sink(data)
            done += len(data)

    def close(self) -> None:
        """Stop reading and close the pipe."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
        if self._pause is not None:
            self._pause.cancel()

    def _readable(self) -> None:
        data = self._read()
        if data and self._sink(data):
            self._loop.remove_reader(self._fd)
            self._pause = self._loop.call_later(_FLOOD_PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._pause = None
        for _ in range(4):
            data = self._read()
            if data:
                self._sink(data)
        if self._open:
            self._loop.add_reader(self._fd, self._readable)

    def _read(self) -> bytes:
        """Return the available bytes, or b"" if there are none. Close the pipe at its end."""
        if not self._open:
            return b""
        try:
            data = os.read(self._fd, _READ)
        except BlockingIOError:
            return b""
        if not data:
            self.close()
        return data
