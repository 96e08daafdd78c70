"""Frames between supervisor, launcher and children: a length of 4 bytes, then JSON.

A frame of a child holds a list of messages, so that under load one write carries many.
"""

from __future__ import annotations

import json
import struct
from typing import Any

_LENGTH = struct.Struct("!I")
#: Far above any message (arguments, results and environments end at some MiB): beyond it the
#: other side is not speaking this protocol.
FRAME_MAX = 64 * 1024 * 1024

#: Without a check for cycles: messages are built here, of plain values.
_dumps = json.JSONEncoder(ensure_ascii=True, check_circular=False, separators=(",", ":")).encode
_loads = json.JSONDecoder().decode


class BrokenFrame(Exception):
    """The other side sent what is no frame."""


def encode(message: Any) -> bytes:
    """One frame."""
    body = _dumps(message).encode()
    return _LENGTH.pack(len(body)) + body


class Decoder:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """The messages that are complete with `data`. Raises BrokenFrame."""
        buffer = self._buffer
        buffer += data
        messages: list[Any] = []
        start = 0
        while len(buffer) - start >= 4:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > FRAME_MAX:
                raise BrokenFrame(f"a frame of {length} bytes")
            end = start + 4 + length
            if len(buffer) < end:
                break
            try:
                messages.append(_loads(buffer[start + 4 : end].decode()))
            except ValueError as error:
                raise BrokenFrame(str(error)) from None
            start = end
        if start:
            del buffer[:start]
        return messages
