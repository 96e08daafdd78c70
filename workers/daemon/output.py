"""Collect the output of an attempt into chunks and limit its size."""

from __future__ import annotations

import asyncio
import codecs
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

#: A chunk is reported when it has waited this long or reached this size.
GATHER_S = 0.1
GATHER_BYTES = 16_384
#: Pieces of the tail are joined up to this size, so that single bytes do not cost an object each.
_PIECE = 4_096


class CapturedChunk(NamedTuple):
    """Hold a piece of an attempt's output: valid Unicode without U+0000."""

    #: Position in the output of its attempt.
    seq: int
    stream: str
    text: str
    at_us: int


class CappedOutput:
    """Limit the output of one attempt to a cap.

    The first half of the cap is emitted as it arrives. The rest of the cap keeps the newest output
    until the end. The output in between is counted, and a line states how many bytes were cut. The
    cap bounds the memory, whatever the attempt writes.
    """

    def __init__(self, cap: int, emit: Callable[[CapturedChunk], None]) -> None:
        self._emit = emit
        self._head_left = cap // 2
        self._tail_cap = cap - cap // 2
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        self._pending: list[tuple[str, str]] = []
        self._pending_size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._seq = 0
        self._tail: deque[tuple[str, str, int]] = deque()
        self._tail_size = 0
        self._cut = 0

    @property
    def flooded(self) -> bool:
        """Return whether the attempt has exceeded the cap. Its output may then be read slowly."""
        return self._cut > 0

    def add_bytes(self, stream: str, data: bytes) -> None:
        """Add bytes that were read from a pipe, decoded as UTF-8."""
        decoder = self._decoders.get(stream)
        if decoder is None:
            decoder = self._decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
        self.add_text(stream, decoder.decode(data))

    def add_text(self, stream: str, text: str) -> None:
        """Add text. U+0000 and lone surrogates are replaced."""
        if not text:
            return
        text, size = _storable(text)
        if self._head_left:
            if size <= self._head_left:
                self._gather(stream, text, size)
                return
            head = _first(text, self._head_left)
            text, size = text[len(head) :], size - len(head.encode())
            self._gather(stream, head, self._head_left)
        self._keep(stream, text, size)

    def finish(self) -> None:
        """Emit the remaining output, with the line that states how much was cut."""
        for stream, decoder in self._decoders.items():
            self.add_text(stream, decoder.decode(b"", final=True))
        self._flush()
        over = self._tail_size - self._tail_cap
        if over > 0:
            stream, text, size = self._tail.popleft()
            kept = _last(text, size - over)
            self._tail.appendleft((stream, kept, len(kept.encode())))
            self._cut += size - len(kept.encode())
        if self._cut:
            mark = f"\n… {self._cut:,} bytes cut …\n"
            self._emit_chunk(self._tail[0][0], mark)
        for stream, text, _ in self._tail:
            self._pending.append((stream, text))
        self._tail.clear()
        self._flush()

    def _gather(self, stream: str, text: str, size: int) -> None:
        """Add text to the first half of the cap. It is emitted soon."""
        self._head_left -= size
        if not text:
            return
        self._pending.append((stream, text))
        self._pending_size += size
        if self._pending_size >= GATHER_BYTES:
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self._flush)

    def _keep(self, stream: str, text: str, size: int) -> None:
        """Add text to the tail, and drop the oldest text that exceeds the tail's cap."""
        if self._tail and self._tail[-1][0] == stream and self._tail[-1][2] < _PIECE:
            _, before, before_size = self._tail.pop()
            self._tail.append((stream, before + text, before_size + size))
        else:
            self._tail.append((stream, text, size))
        self._tail_size += size
        while self._tail_size - self._tail[0][2] >= self._tail_cap:
            _, _, dropped = self._tail.popleft()
            self._tail_size -= dropped
            self._cut += dropped

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        pending, self._pending, self._pending_size = self._pending, [], 0
        joined: list[str] = []
        for index, (stream, text) in enumerate(pending):
            joined.append(text)
            if index + 1 == len(pending) or pending[index + 1][0] != stream:
                self._emit_chunk(stream, "".join(joined))
                joined.clear()

    def _emit_chunk(self, stream: str, text: str) -> None:
        self._emit(CapturedChunk(self._seq, stream, text, time.time_ns() // 1_000))
        self._seq += 1


def _storable(text: str) -> tuple[str, int]:
    """Return the text as PostgreSQL can store it, and its size in bytes of UTF-8."""
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if text.isascii():
        return text, len(text)
    try:
        return text, len(text.encode())
    except UnicodeEncodeError:
        # Insert U+FFFD. The error handler "replace" of encode would insert a question mark.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text, len(text.encode())


def _first(text: str, size: int) -> str:
    return text[:size] if text.isascii() else text.encode()[:size].decode(errors="ignore")


def _last(text: str, size: int) -> str:
    if size <= 0:
        return ""
    return text[-size:] if text.isascii() else text.encode()[-size:].decode(errors="ignore")
