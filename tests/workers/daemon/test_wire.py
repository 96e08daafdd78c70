"""Frames between supervisor, launcher and children."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.daemon.wire import FRAME_MAX, BrokenFrame, Decoder, encode

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.lists(VALUES, max_size=5), st.integers(min_value=1, max_value=50))
def test_messages_survive_whatever_pieces_they_come_in(messages: list[Any], size: int) -> None:
    stream = b"".join(map(encode, messages))
    decoder = Decoder()
    found = [
        message
        for start in range(0, len(stream), size)
        for message in decoder.feed(stream[start : start + size])
    ]
    assert found == messages


@pytest.mark.parametrize("data", [struct.pack("!I", FRAME_MAX + 1), struct.pack("!I", 3) + b"{]}"])
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(BrokenFrame):
        Decoder().feed(data)
