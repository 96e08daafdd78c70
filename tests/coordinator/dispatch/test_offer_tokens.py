"""Test that a token proves one offer to one worker, and that its key can be replaced."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from taskmaster.coordinator.dispatch import offer_tokens
from taskmaster.coordinator.dispatch.offer_tokens import OfferTokens
from taskmaster.coordinator.models import OfferKey
from taskmaster.coordinator.support.database import Database, conninfo
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.messages import Lease
from tests.coordinator.sample import Clock

pytestmark = pytest.mark.django_db(transaction=True)

HERON, STORK = uuid4(), uuid4()
LEASE = Lease(7, 3)


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    opened = Database(conninfo(), Settings())
    await opened.open()
    yield opened
    await opened.close()


async def a_coordinator(database: Database, clock: Clock | None = None) -> OfferTokens:
    tokens = OfferTokens(database, clock=clock or Clock())
    async with database.connection() as connection:
        await tokens.rotate(connection)
    return tokens


async def rotated(database: Database, monkeypatch: pytest.MonkeyPatch) -> OfferTokens:
    """Return a coordinator that has replaced the newest key."""
    with monkeypatch.context() as patch:
        patch.setattr(offer_tokens, "ROTATION_S", 0.0)
        return await a_coordinator(database)


async def test_a_token_is_valid_for_its_task_lease_and_worker_only(database: Database) -> None:
    tokens = await a_coordinator(database)
    token = tokens.sign(HERON, *LEASE)
    assert len(token) == 16
    assert tokens.is_valid(HERON, LEASE, token)
    forged: list[tuple[UUID, Lease, bytes]] = [
        (STORK, LEASE, token),
        (HERON, Lease(8, 3), token),
        (HERON, Lease(7, 4), token),
        (HERON, LEASE, token[:-1]),
        (HERON, LEASE, token[:-1] + bytes([token[-1] ^ 1])),
        (HERON, LEASE, b""),
    ]
    assert not any(tokens.is_valid(*each) for each in forged)


async def test_coordinators_share_the_key(database: Database) -> None:
    one, two = await a_coordinator(database), await a_coordinator(database)
    assert one.sign(HERON, *LEASE) == two.sign(HERON, *LEASE)
    assert await OfferKey.objects.acount() == 1


async def test_a_token_outlives_one_new_key_and_no_second(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = (await a_coordinator(database)).sign(HERON, *LEASE)
    second = await rotated(database, monkeypatch)
    assert second.sign(HERON, *LEASE) != token
    assert second.is_valid(HERON, LEASE, token)
    third = await rotated(database, monkeypatch)
    assert not third.is_valid(HERON, LEASE, token)
    assert [each.generation async for each in OfferKey.objects.order_by("pk")] == [2, 3]


async def test_an_unknown_token_makes_a_coordinator_read_the_keys_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    old = await a_coordinator(database, clock)
    token = (await rotated(database, monkeypatch)).sign(HERON, *LEASE)
    named = {(LEASE, token)}
    assert not old.is_valid(HERON, LEASE, token)
    # At most one read each second, whatever a worker sends.
    assert await old.are_valid(HERON, named) == set()
    clock.now += 1.0
    forged = (Lease(9, 9), token)
    assert await old.are_valid(HERON, {*named, forged}) == named
