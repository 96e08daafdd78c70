"""Test the sizes of stored output, and that a gap is only claimed where output was cut."""

from __future__ import annotations

import asyncio

import pytest

from taskmaster.tasks.models import Task, TaskOutput
from taskmaster.tasks.queries.output_size import OutputSize, output_sizes
from taskmaster.workers.daemon.output import CappedOutput, CapturedChunk
from tests.factories import stored

pytestmark = pytest.mark.django_db


def sizes_of(*attempts: list[str]) -> list[OutputSize]:
    """Store the chunks of each attempt and measure them."""
    [task] = stored()
    for number, texts in enumerate(attempts, 1):
        for seq, text in enumerate(texts):
            TaskOutput.objects.create(
                task_id=task, lease=number, attempt=number, seq=seq, stream="stdout", text=text
            )
    return output_sizes(Task.objects.get(pk=task))


def test_output_that_fits_has_no_gap() -> None:
    assert sizes_of(["a", "é\n"], ["xyz"]) == [OutputSize(1, 4, 0, 0), OutputSize(2, 3, 0, 0)]
    assert sizes_of() == []


def test_the_gap_is_what_a_worker_has_cut() -> None:
    chunks: list[CapturedChunk] = []

    async def print_much() -> None:
        output = CappedOutput(2_001, chunks.append)
        output.add_text("stdout", "é" * 2_500)
        output.finish()

    asyncio.run(print_much())
    [size] = sizes_of([chunk.text for chunk in chunks])
    assert (size.printed, size.head + size.tail + size.cut) == (5_000, 5_000)
    assert size.cut > 2_990


def test_head_tail_and_gap_add_up_to_what_was_printed() -> None:
    [size] = sizes_of(["h" * 900, "h" * 100, "\n… 12,345 bytes cut …\n", "t" * 1_000])
    assert (size.head, size.tail, size.cut) == (1_000, 1_000, 12_345)
    assert (size.stored, size.printed) == (2_000, 14_345)


@pytest.mark.parametrize(
    "texts",
    [
        ["\n… 5 bytes cut …\n"],
        ["abc", "\n… 99 bytes cut …\n", "x" * 50],
        ["\n… x bytes cut …\n", ""],
    ],
)
def test_a_task_that_prints_such_a_line_has_cut_nothing(texts: list[str]) -> None:
    [size] = sizes_of(texts)
    assert size.cut == 0
    assert size.stored == sum(len(text.encode()) for text in texts)
