"""Test the frames between supervisor, fork server and children."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskmaster.workers.daemon.wire import FRAME_MAX, BrokenFrame, MessageDecoder, encode

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


class Note(NamedTuple):
    value: Any
    kind: str = "note"


class Flag(NamedTuple):
    kind: str = "flag"


MESSAGES = st.lists(VALUES.map(Note) | st.just(Flag()), max_size=3)


@given(st.lists(MESSAGES, max_size=4), st.integers(min_value=1, max_value=50))
def test_messages_survive_in_pieces_of_any_size(batches: list[list[Any]], size: int) -> None:
    stream = b"".join(map(encode, batches))
    decoder: MessageDecoder[Any] = MessageDecoder(Note, Flag)
    found = [
        message
        for start in range(0, len(stream), size)
        for message in decoder.feed(stream[start : start + size])
    ]
    expected = [message for batch in batches for message in batch]
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))


@pytest.mark.parametrize(
    "body", [b"{]}", b"7", b"[7]", b"[[]]", b'[[1,"unknown"]]', b'[[1,["note"]]]', b"\xff\xff"]
)
def test_a_frame_without_valid_messages_is_refused(body: bytes) -> None:
    decoder: MessageDecoder[Any] = MessageDecoder(Note)
    with pytest.raises(BrokenFrame):
        decoder.feed(struct.pack("!I", len(body)) + body)


def test_a_frame_beyond_the_limit_is_refused_before_it_is_read() -> None:
    decoder: MessageDecoder[Any] = MessageDecoder(Note)
    with pytest.raises(BrokenFrame, match=str(FRAME_MAX + 1)):
        decoder.feed(struct.pack("!I", FRAME_MAX + 1))


def test_messages_that_are_too_large_for_one_frame_are_sent_in_several() -> None:
    # A character outside the BMP takes 12 bytes in a frame.
    sent = [Note("\U0001f600" * 2_000_000) for _ in range(3)]
    decoder: MessageDecoder[Any] = MessageDecoder(Note)
    assert decoder.feed(encode(sent)) == sent
