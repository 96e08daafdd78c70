"""Send output, status, attempts and answers to the reader of a console."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from taskmaster.tasks import task_actions
from tests.factories import stored, user_with
from tests.taskmaster_site.console.reader import becomes, console, prints, started

pytestmark = pytest.mark.django_db(transaction=True)


async def test_output_is_sent_as_it_is_printed_and_then_the_end() -> None:
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
        assert (await reader.until("answer")) == {
            "type": "answer", "ok": True, "text": f"Task {task_id} is pending again.",
        }  # fmt: skip
        await becomes(task_id, status="started", attempt=2, lease=2, worker="stork")
        assert (await reader.until("attempt")) == {
            "type": "attempt", "attempt": 2, "worker": "stork", "status": "started",
        }  # fmt: skip
        await prints(task_id, "second", lease=2, attempt=2)
        assert (await reader.until("output"))["chunks"][0]["text"] == "second"
    async with console(task_id, "?attempt=1") as reader:
        assert await reader.text() == "first"


async def test_a_cancel_needs_the_permission_and_is_answered() -> None:
    task_id = await started()
    watcher = await sync_to_async(user_with)("taskmaster_tasks.view_task")
    async with console(task_id, user=watcher) as reader:
        await reader.until("attempt")
        await reader.send_json_to({"type": "cancel"})
        answer = await reader.until("answer")
        assert (answer["ok"], answer["text"]) == (
            False,
            "This needs the permission taskmaster_tasks.change_task.",
        )
    async with console(task_id) as reader:
        await reader.until("attempt")
        await reader.send_json_to({"type": "cancel"})
        frames = [await reader.next() for _ in range(3)]
        assert {"type": "answer", "ok": True, "text": f"Task {task_id} was cancelled."} in frames
        assert {"type": "status", "status": "cancelled", "reason": None} in frames
        assert {"type": "end"} in frames
        await reader.send_json_to({"type": "cancel"})
        answer = await reader.until("answer")
        assert answer["ok"] is False
        assert "only tasks that have not ended can be cancelled" in answer["text"]


async def test_the_status_of_a_pending_task_has_its_reason() -> None:
    [task_id] = await sync_to_async(stored)()
    async with console(task_id) as reader:
        frame = await reader.next()
        assert frame["status"] == "pending"
        assert frame["reason"].startswith("No coordinator seems to be running")
        await sync_to_async(task_actions.cancel)(task_id)
        assert (await reader.next())["status"] == "cancelled"
        assert (await reader.next())["type"] == "end"
