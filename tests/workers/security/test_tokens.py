"""Test join tokens: storage, admission and invalidation."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from psycopg import AsyncConnection

from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks.errors import IllegalTransition, InvalidField
from taskmaster.workers.models import JoinToken
from taskmaster.workers.security import tokens
from taskmaster.workers.security.tokens import digest
from taskmaster.workers.store import async_store as store
from taskmaster.workers.store.async_store import Registration
from tests.factories import in_s
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)
make, revoke = sync_to_async(tokens.create), sync_to_async(tokens.revoke)


async def joins(secret: str, worker: UUID | None = None) -> bool:
    """Return whether a worker with this token is admitted, and register it."""
    worker_id = worker or uuid4()
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as session:
        found = await store.check_join_token(session, digest(secret), None)
        if found is None:
            return False
        try:
            await store.use_join_token(session, found.id, worker_id)
        except store.NotAdmitted:
            return False
        row = Registration(worker_id, "w", "h", 1, "thread", "", [], 1, found.id)
        await store.register_worker(session, row, uuid4())
        return True


def test_only_the_digest_of_a_256_bit_token_is_stored() -> None:
    ada = User.objects.create_user("ada")
    made = tokens.create("rack-7", by=ada)
    row = JoinToken.objects.get()
    assert row.digest == hashlib.sha256(made.secret.encode()).hexdigest()
    assert len(made.secret) - len(tokens.PREFIX) >= 256 / 6
    with connection.cursor() as cursor:
        cursor.execute("SELECT jointoken::text FROM taskmaster_workers_jointoken AS jointoken")
        assert made.secret not in cursor.fetchone()[0]
    assert (row.name, row.created_by, row.expires_at, row.uses_left) == ("rack-7", ada, None, None)
    assert tokens.create("rack-8").secret != made.secret


def test_invalid_input_is_refused_and_creates_no_token() -> None:
    tokens.create("taken")
    for name, options, rule in (
        ("", {}, "name: must be 1 to 100 printable characters."),
        ("a\nb", {}, "name: must be 1 to 100"),
        ("x" * 101, {}, "name: must be 1 to 100"),
        ("taken", {}, "name: 'taken' is taken"),
        ("late", {"expires_at": in_s(-1)}, "expires_at: is in the past"),
        ("none", {"uses": 0}, "uses: is 0; it must be from 1"),
        ("much", {"uses": 10**9}, "uses: is 1000000000; it must be from 1"),
    ):
        with pytest.raises(InvalidField) as caught:
            tokens.create(name, **options)  # type: ignore[arg-type]
        assert str(caught.value).startswith(rule)
    assert JoinToken.objects.count() == 1


def test_a_token_is_revoked_once() -> None:
    tokens.create("rack-7")
    assert tokens.revoke("rack-7").revoked_at is not None
    with pytest.raises(IllegalTransition, match="'rack-7' was revoked on 20"):
        tokens.revoke("rack-7")
    with pytest.raises(tokens.JoinTokenNotFound, match=r"There is no join token 'rack-8'."):
        tokens.revoke("rack-8")


async def test_only_a_valid_token_is_admitted() -> None:
    good, revoked, expired = [(await make(name)).secret for name in ("good", "revoked", "expired")]
    await revoke("revoked")
    await JoinToken.objects.filter(name="expired").aupdate(
        expires_at=timezone.now() - timedelta(seconds=1)
    )
    assert await joins(good)
    assert (await JoinToken.objects.aget(name="good")).last_used_at is not None
    for secret in (revoked, expired, good[:-1], good + "x", "", digest(good)):
        assert not await joins(secret)
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as session:
        faults = [
            await store.check_join_token(session, digest(each), None) for each in (revoked, expired)
        ]
        assert [each and each.fault for each in faults] == ["it is revoked", "it is expired"]
        tokens_of = JoinToken.objects.values_list("id", flat=True).order_by("id")
        gone = await store.list_invalid_join_tokens(session, [each async for each in tokens_of])
    assert gone == {each.id for each in faults if each}
    assert await JoinToken.objects.filter(last_used_at=None).acount() == 2


async def test_a_returning_worker_does_not_use_the_token_again() -> None:
    secret = (await make("two", uses=2)).secret
    heron, crane = uuid4(), uuid4()
    assert await joins(secret, heron)
    assert await joins(secret, heron)
    assert await joins(secret, crane)
    assert (await JoinToken.objects.aget()).uses_left == 0
    assert not await joins(secret)
    assert await joins(secret, heron)


async def test_a_worker_belongs_to_its_token_only() -> None:
    first, second = [(await make(name)).secret for name in ("a", "b")]
    heron = uuid4()
    assert await joins(first, heron)
    assert not await joins(second, heron)
    assert await joins(first, heron)


async def test_one_of_two_concurrent_workers_gets_the_last_use() -> None:
    token = (await make("one", uses=1)).row.pk
    first, second = [await AsyncConnection.connect(conninfo(), autocommit=True) for _ in range(2)]
    async with first, second:
        async with first.transaction():
            await store.use_join_token(first, token, uuid4())
            waiting = asyncio.create_task(store.use_join_token(second, token, uuid4()))
            await until_blocked(first, second.info.backend_pid)
        with pytest.raises(store.NotAdmitted):
            await waiting


async def until_blocked(session: AsyncConnection[Any], pid: int) -> None:
    """Wait until the backend waits for a lock."""

    async def is_blocked() -> bool:
        found = await session.execute("SELECT cardinality(pg_blocking_pids(%s))", [pid])
        row = await found.fetchone()
        return bool(row and row[0])

    await until(is_blocked, 10)
