"""What an attempt prints: gathered into chunks, capped with a visible mark."""

from __future__ import annotations

import asyncio
import codecs
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from workers.daemon.attempt import Attempt, now_us

#: A chunk is reported when it has waited this long or grown this large.
GATHER_S = 0.1
GATHER_BYTES = 16_384
#: Pieces of the tail are joined up to this size, so that single bytes cost no object each.
_PIECE = 4_096


class Chunk(NamedTuple):
    """A piece of an attempt's output, valid Unicode without U+0000."""

    attempt: Attempt
    seq: int
    stream: str
    text: str
    at_us: int


class Output:
    """The output of one attempt: the first half of the cap as it comes, then the newest half.

    What lies between is counted, and a line says how much of it was cut. Memory is bounded by
    the cap, whatever is written.
    """

    def __init__(self, attempt: Attempt, cap: int, emit: Callable[[Chunk], None]) -> None:
        self._attempt = attempt
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
        """Whether it writes more than is kept: no haste in reading it."""
        return self._cut > 0

    def add_bytes(self, stream: str, data: bytes) -> None:
        """Takes what came out of a pipe."""
        decoder = self._decoders.get(stream)
        if decoder is None:
            decoder = self._decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
        self.add_text(stream, decoder.decode(data))

    def add_text(self, stream: str, text: str) -> None:
        """Takes text; U+0000 and lone surrogates are replaced."""
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
        """Emits everything that is left."""
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
        self._emit(Chunk(self._attempt, self._seq, stream, text, now_us()))
        self._seq += 1


def _storable(text: str) -> tuple[str, int]:
    """The text as PostgreSQL takes it, and its size in bytes of UTF-8."""
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if text.isascii():
        return text, len(text)
    try:
        return text, len(text.encode())
    except UnicodeEncodeError:
        # U+FFFD, not the question mark that encode's "replace" leaves.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text, len(text.encode())


def _first(text: str, size: int) -> str:
    return text[:size] if text.isascii() else text.encode()[:size].decode(errors="ignore")


def _last(text: str, size: int) -> str:
    if size <= 0:
        return ""
    return text[-size:] if text.isascii() else text.encode()[-size:].decode(errors="ignore")
