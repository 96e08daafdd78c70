"""Join tokens: what is kept of them, who gets in with them, and what makes one invalid."""

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

from coordinator.database import conninfo
from tasks.errors import IllegalTransition, InvalidField
from tests.tasks.sample import in_s
from workers import store
from workers.joining import tokens
from workers.joining.digest import digest
from workers.models import JoinToken
from workers.store import Registration

pytestmark = pytest.mark.django_db(transaction=True)
make, revoke = sync_to_async(tokens.make), sync_to_async(tokens.revoke)


async def joins(secret: str, worker: UUID | None = None) -> bool:
    """Whether a worker that says hello with it is let in, and registered then."""
    who = worker or uuid4()
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as session:
        found = await store.join_token(session, digest(secret), None)
        if found is None:
            return False
        try:
            await store.admit(session, found.id, who)
        except store.NotAdmitted:
            return False
        row = Registration(who, "w", "h", 1, "threads", "", [], 1, found.id)
        await store.register(session, row, uuid4())
        return True


def test_only_a_digest_is_kept_of_a_token_of_256_random_bits() -> None:
    ada = User.objects.create_user("ada")
    made = tokens.make("rack-7", by=ada)
    row = JoinToken.objects.get()
    assert row.digest == hashlib.sha256(made.secret.encode()).hexdigest()
    assert len(made.secret) - len(tokens.PREFIX) >= 256 / 6
    with connection.cursor() as cursor:
        cursor.execute("SELECT jointoken::text FROM workers_jointoken AS jointoken")
        assert made.secret not in cursor.fetchone()[0]
    assert (row.name, row.created_by, row.expires_at, row.uses_left) == ("rack-7", ada, None, None)
    assert tokens.make("rack-8").secret != made.secret


def test_what_cannot_be_is_refused_and_makes_no_token() -> None:
    tokens.make("taken")
    for name, options, rule in (
        ("", {}, "name: must be 1 to 100 printable characters."),
        ("a\nb", {}, "name: must be 1 to 100"),
        ("x" * 101, {}, "name: must be 1 to 100"),
        ("taken", {}, "name: 'taken' is taken"),
        ("late", {"expires_at": in_s(-1)}, "expires_at: lies in the past"),
        ("none", {"uses": 0}, "uses: is 0; it must be from 1"),
        ("much", {"uses": 10**9}, "uses: is 1000000000; it must be from 1"),
    ):
        with pytest.raises(InvalidField) as caught:
            tokens.make(name, **options)  # type: ignore[arg-type]
        assert str(caught.value).startswith(rule)
    assert JoinToken.objects.count() == 1


def test_a_token_is_revoked_once() -> None:
    tokens.make("rack-7")
    assert tokens.revoke("rack-7").revoked_at is not None
    with pytest.raises(IllegalTransition, match="'rack-7' was revoked on 20"):
        tokens.revoke("rack-7")
    with pytest.raises(tokens.JoinTokenNotFound, match=r"There is no join token 'rack-8'."):
        tokens.revoke("rack-8")


async def test_a_valid_token_lets_in_and_a_wrong_revoked_or_expired_one_does_not() -> None:
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
            await store.join_token(session, digest(each), None) for each in (revoked, expired)
        ]
        assert [each and each.fault for each in faults] == ["it is revoked", "it is expired"]
        tokens_of = JoinToken.objects.values_list("id", flat=True).order_by("id")
        gone = await store.dismissed(session, [each async for each in tokens_of])
    assert gone == {each.id for each in faults if each}
    assert await JoinToken.objects.filter(last_used_at=None).acount() == 2


async def test_a_use_is_a_worker_and_one_that_comes_back_takes_no_other() -> None:
    secret = (await make("two", uses=2)).secret
    heron, crane = uuid4(), uuid4()
    assert await joins(secret, heron)
    assert await joins(secret, heron)
    assert await joins(secret, crane)
    assert (await JoinToken.objects.aget()).uses_left == 0
    assert not await joins(secret)
    assert await joins(secret, heron)


async def test_a_worker_is_its_token_s_and_nobody_else_s() -> None:
    first, second = [(await make(name)).secret for name in ("a", "b")]
    heron = uuid4()
    assert await joins(first, heron)
    assert not await joins(second, heron)
    assert await joins(first, heron)


async def test_of_two_workers_that_come_at_once_one_gets_the_last_use() -> None:
    token = (await make("one", uses=1)).row.pk
    first, second = [await AsyncConnection.connect(conninfo(), autocommit=True) for _ in range(2)]
    async with first, second:
        async with first.transaction():
            await store.admit(first, token, uuid4())
            waiting = asyncio.create_task(store.admit(second, token, uuid4()))
            await until_blocked(first, second.info.backend_pid)
        with pytest.raises(store.NotAdmitted):
            await waiting


async def until_blocked(session: AsyncConnection[Any], pid: int) -> None:
    """Waits until the backend waits for a lock."""
    async with asyncio.timeout(10):
        while True:
            found = await session.execute("SELECT cardinality(pg_blocking_pids(%s))", [pid])
            row = await found.fetchone()
            if row and row[0]:
                return
            await asyncio.sleep(0.01)
