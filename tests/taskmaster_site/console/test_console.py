"""What comes to a console: output, the end, the next attempt, and why a task waits."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from tasks import operations
from tests.taskmaster_site.console.reader import becomes, console, prints, started
from tests.tasks.api.people import user_with
from tests.tasks.sample import stored

pytestmark = pytest.mark.django_db(transaction=True)


async def test_output_comes_as_it_is_printed_and_the_end_after_it() -> None:
    task_id = await started()
    await prints(task_id, "one\n")
    async with console(task_id) as reader:
        assert await reader.next() == {"type": "status", "status": "started", "reason": None}
        assert await reader.next() == {
            "type": "attempt", "attempt": 1, "worker": "heron", "status": "started",
        }  # fmt: skip
        first = await reader.next()
        assert first["chunks"] == [{"stream": "stdout", "text": "one\n"}]
        await prints(task_id, "two\n", stream="stderr")
        assert (await reader.next())["chunks"] == [{"stream": "stderr", "text": "two\n"}]
        await prints(task_id, "three\n")
        await becomes(task_id, status="complete")
        assert (await reader.until("output"))["chunks"][0]["text"] == "three\n"
        assert (await reader.next())["type"] in ("status", "end")
    async with console(task_id, f"?after={first['cursor']}") as reader:
        assert await reader.text() == "two\nthree\n"


async def test_a_retry_from_the_console_shows_the_next_attempt() -> None:
    task_id = await started(max_attempts=1)
    await prints(task_id, "first")
    async with console(task_id) as reader:
        await reader.until("output")
        await becomes(task_id, status="failed")
        assert (await reader.until("status"))["status"] == "failed"
        await reader.until("end")
        await reader.send_json_to({"type": "retry"})
        assert (await reader.until("said")) == {
            "type": "said", "ok": True, "text": f"Task {task_id} is pending again.",
        }  # fmt: skip
        await becomes(task_id, status="started", attempt=2, lease=2, worker="stork")
        assert (await reader.until("attempt")) == {
            "type": "attempt", "attempt": 2, "worker": "stork", "status": "started",
        }  # fmt: skip
        await prints(task_id, "second", lease=2, attempt=2)
        assert (await reader.until("output"))["chunks"][0]["text"] == "second"
    async with console(task_id, "?attempt=1") as reader:
        assert await reader.text() == "first"


async def test_a_cancel_is_done_for_who_may_and_said() -> None:
    task_id = await started()
    watcher = await sync_to_async(user_with)("tasks.view_task")
    async with console(task_id, user=watcher) as reader:
        await reader.until("attempt")
        await reader.send_json_to({"type": "cancel"})
        said = await reader.until("said")
        assert (said["ok"], said["text"]) == (False, "This needs the permission tasks.change_task.")
    async with console(task_id) as reader:
        await reader.until("attempt")
        await reader.send_json_to({"type": "cancel"})
        frames = [await reader.next() for _ in range(3)]
        assert {"type": "said", "ok": True, "text": f"Task {task_id} is cancelled."} in frames
        assert {"type": "status", "status": "cancelled", "reason": None} in frames
        assert {"type": "end"} in frames
        await reader.send_json_to({"type": "cancel"})
        said = await reader.until("said")
        assert said["ok"] is False
        assert "cannot be cancelled any more" in said["text"]


async def test_a_task_that_waits_says_why() -> None:
    [task_id] = await sync_to_async(stored)()
    async with console(task_id) as reader:
        frame = await reader.next()
        assert frame["status"] == "pending"
        assert frame["reason"].startswith("No coordinator seems to run")
        await sync_to_async(operations.cancel)(task_id)
        assert (await reader.next())["status"] == "cancelled"
        assert (await reader.next())["type"] == "end"
