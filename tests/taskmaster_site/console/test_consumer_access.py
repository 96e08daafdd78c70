"""Admit readers to a console, and close it when they lose access."""

from __future__ import annotations

import dataclasses

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore

from taskmaster.taskmaster_site.asgi import application
from taskmaster.taskmaster_site.live import runtime
from taskmaster.tasks import conf
from tests.taskmaster_site.console.reader import (
    EVERYTHING,
    HERE,
    HOST,
    SOON_S,
    Reader,
    address,
    code_of,
    console,
    cookie,
    logged_in,
    started,
)

pytestmark = pytest.mark.django_db(transaction=True)


async def test_missing_credentials_and_missing_permissions_have_different_codes() -> None:
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
    _, client = await logged_in("taskmaster_workers.view_worker")
    assert await code_of(path, HERE, cookie(client)) == 4403
    user, client = await logged_in(*EVERYTHING)
    user.is_active = False
    await user.asave()
    assert await code_of(path, HERE, cookie(client)) == 4401


@pytest.mark.parametrize("task_id", [2**63, 10**40, 123_456_789])
async def test_an_unknown_task_has_its_own_code(task_id: int) -> None:
    async with console(task_id) as reader:
        assert await reader.code() == 4404


async def test_an_unknown_address_is_refused() -> None:
    for path in ("/ws/", "/ws/tasks/x/console/", "/ws/tasks/-1/console/", "/api/tasks/1/"):
        assert await code_of(path, HERE) is None


async def test_a_session_is_accepted_only_from_a_page_of_this_site() -> None:
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
async def test_a_console_closes_when_its_reader_loses_access(
    change: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    often = dataclasses.replace(conf.settings(), stream_check_s=0.1)
    monkeypatch.setattr(runtime, "settings", lambda: often)
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
