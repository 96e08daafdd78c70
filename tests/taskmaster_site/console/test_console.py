"""The console against the real application and database: who may read, and what comes."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing.websocket import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.test import Client
from rest_framework.authtoken.models import Token

from taskmaster_site.asgi import application
from taskmaster_site.console.look import FRAME_MAX
from taskmaster_site.console.tail import UNSHOWN_MAX
from taskmaster_site.live import service
from tasks import conf, operations
from tasks.models import Task, TaskOutput
from tasks.statements import statement
from tests.tasks.api.people import user_with
from tests.tasks.sample import stored

pytestmark = pytest.mark.django_db(transaction=True)

HOST = (b"host", b"localhost:8000")
HERE = (b"origin", b"http://localhost:8000")
EVERYTHING = ("tasks.view_task", "tasks.change_task", "tasks.submit_shell")
SOON_S = 10


@pytest.fixture(autouse=True)
async def _live_part_ends() -> AsyncIterator[None]:
    """What a process keeps running for all of its consoles."""
    yield
    for live in service._lives.values():
        for task in live._tasks:
            task.cancel()
        await asyncio.gather(*live._tasks, return_exceptions=True)
    service._lives.clear()


class Reader(WebsocketCommunicator):
    """A console."""

    async def next(self) -> dict[str, Any]:
        """The next frame."""
        frame: dict[str, Any] = await self.receive_json_from(SOON_S)
        return frame

    async def until(self, kind: str) -> dict[str, Any]:
        """The next frame of this kind."""
        while (frame := await self.next())["type"] != kind:
            pass
        return frame

    async def ack(self, frame: dict[str, Any]) -> None:
        await self.send_json_to({"type": "ack", "cursor": frame["cursor"]})

    async def text(self) -> str:
        """What is shown until the end; each frame is acknowledged."""
        shown = ""
        while (frame := await self.next())["type"] != "end":
            if frame["type"] == "output":
                shown += "".join(chunk["text"] for chunk in frame["chunks"])
                await self.ack(frame)
        return shown

    async def code(self) -> int:
        """The code with which it is closed."""
        while True:
            message = await self.receive_output(SOON_S)
            if message["type"] == "websocket.close":
                return int(message["code"])


def address(task_id: object, query: str = "") -> str:
    return f"/ws/tasks/{task_id}/console/{query}"


@asynccontextmanager
async def console(
    task_id: object, query: str = "", *, user: User | None = None
) -> AsyncIterator[Reader]:
    """A reader with the token of a user who may do everything, unless another is given."""
    user = user or await sync_to_async(user_with)(*EVERYTHING)
    token, _ = await Token.objects.aget_or_create(user=user)
    headers = [HOST, (b"authorization", f"Token {token.key}".encode())]
    reader = Reader(application, address(task_id, query), headers)
    assert (await reader.connect(SOON_S))[0]
    try:
        yield reader
    finally:
        with suppress(asyncio.CancelledError):
            await reader.disconnect(timeout=SOON_S)


@sync_to_async
def started(attempt: int = 1, lease: int = 1, **fields: Any) -> int:
    [task_id] = stored()
    Task.objects.filter(pk=task_id).update(
        status="started", attempt=attempt, lease=lease, worker="heron", **fields
    )
    return task_id


@sync_to_async
def prints(
    task_id: int, *texts: str, lease: int = 1, attempt: int = 1, stream: str = "stdout"
) -> None:
    """As the flusher writes it, and the announcer says it."""
    first = TaskOutput.objects.filter(task_id=task_id, lease=lease).count()
    TaskOutput.objects.bulk_create(
        TaskOutput(task_id=task_id, lease=lease, attempt=attempt, seq=seq, stream=stream, text=text)
        for seq, text in enumerate(texts, first)
    )
    with connection.cursor() as cursor:
        cursor.execute(statement("printed"), {"ids": str(task_id)})


@sync_to_async
def becomes(task_id: int, **fields: Any) -> None:
    Task.objects.filter(pk=task_id).update(**fields)
    with connection.cursor() as cursor:
        cursor.execute(statement("printed"), {"ids": str(task_id)})


# ---- who may read -------------------------------------------------------------------------------


async def code_of(path: str, *headers: tuple[bytes, bytes]) -> int | None:
    """The close code after the handshake; None when that was refused."""
    reader = Reader(application, path, [HOST, *headers])
    accepted, _ = await reader.connect(SOON_S)
    code = await reader.code() if accepted else None
    await reader.disconnect(timeout=SOON_S)
    return code


def cookie(client: Client) -> tuple[bytes, bytes]:
    key = client.cookies[settings.SESSION_COOKIE_NAME].value
    return b"cookie", f"{settings.SESSION_COOKIE_NAME}={key}".encode()


@sync_to_async
def logged_in(*permissions: str) -> tuple[User, Client]:
    user, client = user_with(*permissions), Client()
    client.force_login(user)
    return user, client


async def test_a_stranger_and_who_lacks_the_permission_are_told_apart() -> None:
    task_id = await started()
    path = address(task_id)
    for headers in (
        [HERE],
        [(b"authorization", b"Token 0123")],
        [(b"authorization", b"Token a\0b")],
        [HERE, (b"cookie", b"sessionid=forged")],
        [HERE, (b"cookie", b"\xff=;;;\0")],
    ):
        assert await code_of(path, *headers) == 4401
    _, client = await logged_in("workers.view_worker")
    assert await code_of(path, HERE, cookie(client)) == 4403
    user, client = await logged_in(*EVERYTHING)
    user.is_active = False
    await user.asave()
    assert await code_of(path, HERE, cookie(client)) == 4401


@pytest.mark.parametrize("task_id", [2**63, 10**40, 123_456_789])
async def test_an_unknown_task_is_named_by_its_code(task_id: int) -> None:
    async with console(task_id) as reader:
        assert await reader.code() == 4404


async def test_an_unknown_address_is_refused() -> None:
    for path in ("/ws/", "/ws/tasks/x/console/", "/ws/tasks/-1/console/", "/api/tasks/1/"):
        assert await code_of(path, HERE) is None


async def test_a_session_counts_only_from_a_page_of_this_site() -> None:
    task_id = await started()
    _, client = await logged_in(*EVERYTHING)
    path, session = address(task_id), cookie(client)
    for origin in (
        b"http://evil.example",
        b"http://localhost:8001",
        b"https://localhost:8000.evil.example",
        b"null",
        b"http://[",
    ):
        assert await code_of(path, session, (b"origin", origin)) is None
    assert await code_of(path, session) is None
    rebound = Reader(
        application,
        path,
        [(b"host", b"evil.example"), (b"origin", b"http://evil.example"), session],
    )
    assert (await rebound.connect(SOON_S))[0] is False
    reader = Reader(application, path, [HOST, HERE, session])
    assert (await reader.connect(SOON_S))[0]
    assert (await reader.until("attempt"))["worker"] == "heron"
    await reader.disconnect(timeout=SOON_S)


@pytest.mark.parametrize(
    ("change", "code"),
    [("logout", 4401), ("permission", 4403), ("password", 4401), ("inactive", 4401)],
)
async def test_a_console_ends_with_the_permission(
    change: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    often = dataclasses.replace(conf.settings(), stream_check_s=0.1)
    monkeypatch.setattr(service, "settings", lambda: often)
    task_id = await started()
    user, client = await logged_in(*EVERYTHING)
    reader = Reader(application, address(task_id), [HOST, HERE, cookie(client)])
    assert (await reader.connect(SOON_S))[0]
    await reader.until("attempt")
    if change == "logout":
        await SessionStore(client.cookies[settings.SESSION_COOKIE_NAME].value).adelete()
    elif change == "permission":
        await sync_to_async(user.user_permissions.clear)()
    elif change == "password":
        user.set_password("another")
        await user.asave()
    else:
        user.is_active = False
        await user.asave()
    assert await reader.code() == code
    await reader.disconnect(timeout=SOON_S)


# ---- what comes ---------------------------------------------------------------------------------


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


# ---- frames -------------------------------------------------------------------------------------


async def test_who_acknowledges_nothing_gets_four_frames_and_no_more() -> None:
    task_id = await started()
    await prints(task_id, *["x" * FRAME_MAX] * 20)
    async with console(task_id) as reader:
        await reader.until("attempt")
        frames = [await reader.next() for _ in range(UNSHOWN_MAX)]
        await prints(task_id, "more")
        # Another status is told all the same, so it was looked at meanwhile.
        await becomes(task_id, status="complete")
        assert (await reader.next())["type"] == "status"
        assert await reader.receive_nothing(0.5)
        await reader.ack(frames[1])
        assert [(await reader.next())["type"] for _ in range(2)] == ["output"] * 2
        assert await reader.receive_nothing(0.3)


async def test_markup_escapes_and_a_line_of_a_megabyte_are_text_in_small_frames() -> None:
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


async def test_many_small_chunks_travel_together() -> None:
    task_id = await started()
    lines = [f"line {number}\n" for number in range(3_000)]
    await prints(task_id, *lines)
    await becomes(task_id, status="complete")
    async with console(task_id) as reader:
        assert await reader.text() == "".join(lines)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ("no json", "frame: must be a JSON object in a text frame."),
        ("[1]", "frame: must be a JSON object in a text frame."),
        ("[" * 4_000, "frame: must be a JSON object in a text frame."),
        ('{"type": "run"}', "type: must be ack, cancel or retry."),
        ('{"type": ["ack"]}', "type: must be ack, cancel or retry."),
        ('{"type": "ack"}', "cursor: must be the cursor of a frame."),
        ('{"type": "ack", "cursor": "9-9-9"}', "cursor: is of no frame that waits to be"),
    ],
)
async def test_a_malformed_frame_is_answered_and_changes_nothing(frame: str, said: str) -> None:
    task_id = await started()
    async with console(task_id) as reader:
        await reader.until("attempt")
        await reader.send_to(text_data=frame)
        answer = await reader.next()
        assert (answer["type"], answer["ok"]) == ("said", False)
        assert answer["text"].startswith(said)
        await reader.send_to(bytes_data=b"\x00\xff")
        assert (await reader.next())["ok"] is False
        await prints(task_id, "still there")
        assert (await reader.next())["type"] == "output"
    task = await Task.objects.aget(pk=task_id)
    assert task.status == "started"


async def test_a_frame_that_is_far_too_long_ends_the_console() -> None:
    async with console(await started()) as reader:
        await reader.until("attempt")
        await reader.send_to(text_data="x" * 5_000)
        assert await reader.code() == 4413


async def test_a_flood_of_nonsense_ends_the_console_and_acknowledgements_do_not() -> None:
    task_id = await started()
    await prints(task_id, *["x" * FRAME_MAX] * 150)
    async with console(task_id) as reader:
        for _ in range(150):
            await reader.ack(await reader.until("output"))
        for _ in range(100):
            await reader.send_to(text_data="nonsense")
        assert await reader.code() == 4429


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?attempt=0", "attempt: must be the number of an attempt, from 1."),
        ("?attempt=2", "attempt: is 2; the newest is 1."),
        ("?attempt=99999999999", "attempt: must be the number of an attempt, from 1."),
        ("?attempt=١", "query: must be attempt and after, both optional."),
        ("?after=x", "after: must be the cursor of a frame."),
        ("?before=1", "before: is no parameter; there are attempt and after."),
    ],
)
async def test_a_wrong_query_is_named_with_its_rule(query: str, said: str) -> None:
    async with console(await started(), query) as reader:
        assert await reader.next() == {"type": "said", "ok": False, "text": said}
        assert await reader.code() == 4400


async def test_an_idle_console_holds_neither_thread_nor_connection() -> None:
    ids = [await started() for _ in range(3)]
    user = await sync_to_async(user_with)(*EVERYTHING)
    async with console(ids[0], user=user) as first:
        await first.until("attempt")
        threads, sessions = threading.active_count(), await count_sessions()
        others = [console(ids[n % 3], user=user) for n in range(40)]
        readers = [await each.__aenter__() for each in others]
        for reader in readers:
            await reader.until("attempt")
        # Threads of the loop's executor are shared by all, and stay.
        assert threading.active_count() <= threads + 8
        # Those of the pool, which all share.
        assert await count_sessions() <= sessions + 8
        for each in others:
            await each.__aexit__(None, None, None)
    assert len(service.live().guard) == 0


@sync_to_async
def count_sessions() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(cursor.fetchone()[0])
