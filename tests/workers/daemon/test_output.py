"""Test which output of an attempt is kept."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskmaster.workers.daemon.output import GATHER_BYTES, CappedOutput, CapturedChunk

CAP = 1_024


def kept(pieces: list[tuple[str, bytes]], cap: int = CAP) -> list[CapturedChunk]:
    chunks: list[CapturedChunk] = []
    output = CappedOutput(cap, chunks.append)
    for stream, data in pieces:
        output.add_bytes(stream, data)
    output.finish()
    return chunks


def text(chunks: list[CapturedChunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


async def test_short_output_is_kept_whole_and_in_order() -> None:
    chunks = kept([("stdout", b"a\n"), ("stderr", b"b\n"), ("stdout", b"c\n")])
    assert [(chunk.stream, chunk.text) for chunk in chunks] == [
        ("stdout", "a\n"),
        ("stderr", "b\n"),
        ("stdout", "c\n"),
    ]
    assert [chunk.seq for chunk in chunks] == [0, 1, 2]


async def test_a_character_split_between_two_reads_is_decoded() -> None:
    euro = "€".encode()
    assert text(kept([("stdout", euro[:1]), ("stdout", euro[1:])])) == "€"


@pytest.mark.parametrize(
    ("data", "shown"),
    [(b"\xff|", "\ufffd|"), (b"a\0b", "a\ufffdb"), (b"\xe2\x82", "\ufffd")],
)
async def test_characters_that_cannot_be_stored_are_replaced(data: bytes, shown: str) -> None:
    assert text(kept([("stdout", data)])) == shown


async def test_head_and_tail_of_large_output_are_kept_with_a_marker() -> None:
    lines = [f"line {number}\n".encode() for number in range(1_000)]
    whole = b"".join(lines)
    stored = text(kept([("stdout", line) for line in lines]))
    found = re.search(r"\n… ([\d,]+) bytes cut …\n", stored)
    assert found is not None
    head, tail = stored[: found.start()], stored[found.end() :]
    assert whole.decode().startswith(head)
    assert whole.decode().endswith(tail)
    assert len(head) + len(tail) + int(found[1].replace(",", "")) == len(whole)
    assert len(head) + len(tail) <= CAP


async def test_large_output_is_sent_before_the_attempt_ends() -> None:
    chunks: list[CapturedChunk] = []
    output = CappedOutput(10 * GATHER_BYTES, chunks.append)
    output.add_bytes("stdout", b"x" * GATHER_BYTES)
    assert text(chunks) == "x" * GATHER_BYTES


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=400))))
def test_any_output_is_storable_bounded_and_numbered(
    pieces: list[tuple[str, bytes]],
) -> None:
    import asyncio

    async def run() -> list[CapturedChunk]:
        return kept(pieces, cap=512)

    chunks = asyncio.run(run())
    stored = text(chunks)
    assert "\0" not in stored
    stored.encode()
    assert len(stored.encode()) <= 512 + 100 + 3 * 400
    assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
