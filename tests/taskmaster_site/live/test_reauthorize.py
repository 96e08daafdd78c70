"""End the streams of readers that lost access."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token

from taskmaster.taskmaster_site.live.reauthorize import Reauthorizer, user_of
from taskmaster.tasks.events.channels import StreamGrant
from tests.factories import user_with

pytestmark = pytest.mark.django_db(transaction=True)

VIEW = "taskmaster_tasks.view_task"


@asynccontextmanager
async def checking() -> AsyncIterator[Reauthorizer]:
    reauthorizer = Reauthorizer(0.05)
    task = asyncio.create_task(reauthorizer.run())
    try:
        yield reauthorizer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@sync_to_async
def grant_of(*channels: str) -> tuple[User, StreamGrant]:
    user = user_with(VIEW)
    token = Token.objects.create(user=user)
    return user, StreamGrant(user, ("token", token.key), list(channels), {})


async def test_a_stream_ends_when_its_token_is_deleted_and_others_go_on() -> None:
    (user, grant), (_, other) = await grant_of("all"), await grant_of("all")
    ended, other_ended = asyncio.Event(), asyncio.Event()
    async with checking() as reauthorizer:
        reauthorizer.register(grant, ended.set)
        reauthorizer.register(other, other_ended.set)
        await asyncio.sleep(0.2)
        assert not ended.is_set()
        await Token.objects.filter(user=user).adelete()
        async with asyncio.timeout(10):
            await ended.wait()
        assert not other_ended.is_set()


async def test_a_stream_ends_when_the_permission_of_a_channel_is_missing() -> None:
    _, grant = await grant_of("all", "dashboard-workers")
    ended = asyncio.Event()
    async with checking() as reauthorizer, asyncio.timeout(10):
        reauthorizer.register(grant, ended.set)
        await ended.wait()


async def test_a_stream_that_has_ended_is_unregistered() -> None:
    _, grant = await grant_of("all")
    reauthorizer = Reauthorizer(60)
    unregister = reauthorizer.register(grant, lambda: None)
    assert len(reauthorizer) == 1
    unregister()
    unregister()
    assert len(reauthorizer) == 0


@pytest.mark.django_db
def test_unknown_credentials_have_no_user() -> None:
    assert user_of("token", "unknown") is None
    assert not getattr(user_of("session", "unknown"), "is_authenticated", False)
