"""Encode messages as frames and decode them.

A frame is a length of 4 bytes, then a JSON list of messages, so that under load one write carries
many. A message is a NamedTuple. It travels as the list of its fields. Its last field, `kind`, has a
default that identifies its type.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

_LENGTH = struct.Struct("!I")
#: Far larger than any message: arguments, results and environments are limited to some MiB. A
#: longer frame means that the peer does not speak this protocol.
FRAME_MAX = 64 * 1024 * 1024

#: Skips the check for cycles: the messages are built here from plain values.
_dumps = json.JSONEncoder(ensure_ascii=True, check_circular=False, separators=(",", ":")).encode
_loads = json.JSONDecoder().decode

MessageT = TypeVar("MessageT", bound=tuple[Any, ...])


class BrokenFrame(Exception):
    """Raised when the peer sent an invalid frame."""


def encode(messages: Sequence[tuple[Any, ...]]) -> bytes:
    """Encode messages as one frame, or as several if one would be too long."""
    body = _dumps(messages).encode()
    if len(body) > FRAME_MAX and len(messages) > 1:
        middle = len(messages) // 2
        return encode(messages[:middle]) + encode(messages[middle:])
    return _LENGTH.pack(len(body)) + body


class MessageDecoder(Generic[MessageT]):
    """Split a stream of bytes into messages of the given types."""

    def __init__(self, *types: type[MessageT]) -> None:
        self._buffer = bytearray()
        # `_make` would check the number of fields, at twice the cost.
        self._build: dict[str, Callable[[list[Any]], MessageT]] = {
            each._field_defaults["kind"]: partial(tuple.__new__, each)  # type: ignore[attr-defined]
            for each in types
        }

    def feed(self, data: bytes) -> list[MessageT]:
        """Add `data` and return the messages that are now complete.

        Raises BrokenFrame.
        """
        buffer, build = self._buffer, self._build
        buffer += data
        messages: list[MessageT] = []
        start = 0
        while len(buffer) - start >= 4:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > FRAME_MAX:
                raise BrokenFrame(f"a frame of {length} bytes")
            end = start + 4 + length
            if len(buffer) < end:
                break
            try:
                for fields in _loads(buffer[start + 4 : end].decode()):
                    messages.append(build[fields[-1]](fields))
            except (ValueError, KeyError, IndexError, TypeError) as error:
                raise BrokenFrame(f"an invalid message: {error!r}") from None
            start = end
        if start:
            del buffer[:start]
        return messages
