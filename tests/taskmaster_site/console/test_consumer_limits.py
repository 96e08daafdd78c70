"""Limit the frames in both directions."""

from __future__ import annotations

import json
import threading

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from taskmaster.taskmaster_site.console.output_follower import UNACKNOWLEDGED_MAX
from taskmaster.taskmaster_site.console.snapshot import FRAME_MAX
from taskmaster.taskmaster_site.live import runtime
from taskmaster.tasks.models import Task
from tests.factories import user_with
from tests.taskmaster_site.console.reader import (
    EVERYTHING,
    SOON_S,
    becomes,
    console,
    prints,
    started,
)

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_reader_without_acknowledgements_gets_four_output_frames() -> None:
    task_id = await started()
    await prints(task_id, *["x" * FRAME_MAX] * 20)
    async with console(task_id) as reader:
        await reader.until("attempt")
        frames = [await reader.next() for _ in range(UNACKNOWLEDGED_MAX)]
        await prints(task_id, "more")
        # A change of the status is still sent, so the task was read again.
        await becomes(task_id, status="complete")
        assert (await reader.next())["type"] == "status"
        assert await reader.receive_nothing(0.5)
        await reader.ack(frames[1])
        assert [(await reader.next())["type"] for _ in range(2)] == ["output"] * 2
        assert await reader.receive_nothing(0.3)


async def test_markup_escapes_and_a_long_line_are_sent_unchanged_in_small_frames() -> None:
    task_id = await started()
    nasty = "<script>alert(1)</script>\x1b[31mred\x1b[0m\x07\r{{ x }}\u2028\N{BELL}"
    line = "漢x" * 262_144  # 1 MB
    await prints(task_id, nasty, line, "\n")
    await becomes(task_id, status="complete")
    async with console(task_id) as reader:
        shown, sizes = "", []
        while True:
            raw = await reader.receive_from(SOON_S)
            assert isinstance(raw, str)
            frame = json.loads(raw)
            if frame["type"] == "end":
                break
            if frame["type"] == "output":
                text = "".join(chunk["text"] for chunk in frame["chunks"])
                sizes.append(len(text.encode()))
                shown += text
                await reader.ack(frame)
    assert shown == f"{nasty}{line}\n"
    assert max(sizes) <= FRAME_MAX
    assert len(sizes) <= 20


async def test_many_small_chunks_are_sent_in_few_frames() -> None:
    task_id = await started()
    lines = [f"line {number}\n" for number in range(3_000)]
    await prints(task_id, *lines)
    await becomes(task_id, status="complete")
    async with console(task_id) as reader:
        assert await reader.text() == "".join(lines)


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        ("no json", "frame: must be a JSON object in a text frame."),
        ("[1]", "frame: must be a JSON object in a text frame."),
        ("[" * 4_000, "frame: must be a JSON object in a text frame."),
        ('{"type": "run"}', "type: must be ack, cancel or retry."),
        ('{"type": ["ack"]}', "type: must be ack, cancel or retry."),
        ('{"type": "ack"}', "cursor: must be the cursor of a frame."),
        ('{"type": "ack", "cursor": "9-9-9"}', "cursor: names no frame that waits"),
    ],
)
async def test_an_invalid_frame_is_answered_with_an_error_and_changes_nothing(
    frame: str, text: str
) -> None:
    task_id = await started()
    async with console(task_id) as reader:
        await reader.until("attempt")
        await reader.send_to(text_data=frame)
        answer = await reader.next()
        assert (answer["type"], answer["ok"]) == ("answer", False)
        assert answer["text"].startswith(text)
        await reader.send_to(bytes_data=b"\x00\xff")
        assert (await reader.next())["ok"] is False
        await prints(task_id, "still there")
        assert (await reader.next())["type"] == "output"
    task = await Task.objects.aget(pk=task_id)
    assert task.status == "started"


async def test_a_frame_that_is_too_long_closes_the_console() -> None:
    async with console(await started()) as reader:
        await reader.until("attempt")
        await reader.send_to(text_data="x" * 5_000)
        assert await reader.code() == 4413


async def test_a_flood_of_invalid_frames_closes_the_console_but_acknowledgements_do_not() -> None:
    task_id = await started()
    await prints(task_id, *["x" * FRAME_MAX] * 150)
    async with console(task_id) as reader:
        for _ in range(150):
            await reader.ack(await reader.until("output"))
        for _ in range(100):
            await reader.send_to(text_data="nonsense")
        assert await reader.code() == 4429


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("?attempt=0", "attempt: must be the number of an attempt, from 1."),
        ("?attempt=2", "attempt: is 2; the newest is 1."),
        ("?attempt=99999999999", "attempt: must be the number of an attempt, from 1."),
        ("?attempt=١", "query: must be attempt and after, both optional."),
        ("?after=x", "after: must be the cursor of a frame."),
        ("?before=1", "before: is not a parameter; the parameters are attempt and after."),
    ],
)
async def test_an_invalid_query_is_answered_with_the_rule(query: str, text: str) -> None:
    async with console(await started(), query) as reader:
        assert await reader.next() == {"type": "answer", "ok": False, "text": text}
        assert await reader.code() == 4400


async def test_an_idle_console_holds_no_thread_and_no_connection() -> None:
    ids = [await started() for _ in range(3)]
    user = await sync_to_async(user_with)(*EVERYTHING)
    async with console(ids[0], user=user) as first:
        await first.until("attempt")
        threads, sessions = threading.active_count(), await count_sessions()
        others = [console(ids[n % 3], user=user) for n in range(40)]
        readers = [await each.__aenter__() for each in others]
        for reader in readers:
            await reader.until("attempt")
        # The threads of the loop's executor are shared by all consoles and stay.
        assert threading.active_count() <= threads + 8
        # The connections of the pool are shared by all consoles.
        assert await count_sessions() <= sessions + 8
        for each in others:
            await each.__aexit__(None, None, None)
    assert len(runtime.live().reauthorizer) == 0


@sync_to_async
def count_sessions() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(cursor.fetchone()[0])
