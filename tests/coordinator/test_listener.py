"""The listener proves that it hears, and says when it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import AsyncConnection, sql

from coordinator import listener as module
from coordinator import store
from coordinator.database import conninfo
from coordinator.listener import WAKE, WORKER, Listener
from coordinator.trouble import Trouble
from tests.system.fleet import until

pytestmark = pytest.mark.django_db(transaction=True)

OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks "
    "WHERE locktype = 'advisory' AND pid <> pg_backend_pid() "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


async def run(query: str | sql.Composed) -> None:
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as connection:
        await connection.execute(query)  # type: ignore[call-overload]


async def notify(channel: str) -> None:
    await run(sql.SQL("NOTIFY {}").format(sql.Identifier(channel)))


class Heard:
    """A listener that runs, and how often it was woken."""

    def __init__(self, send: Callable[[str], object] | None = None, probe_s: float = 0.2) -> None:
        self.id = uuid4()
        self.wakes = self.probes = 0
        self.wishes: list[tuple[UUID, str]] = []
        self.leading = asyncio.Event()
        self.send = send
        self.listener = Listener(
            conninfo(),
            self.id,
            Trouble(),
            on_wake=self._wake,
            on_cancel=lambda _: None,
            on_worker=lambda *wish: self.wishes.append(wish),
            on_watch=lambda: None,
            on_operation=lambda: None,
            on_pool=lambda: None,
            on_connect=self._connected,
            notify=self._notify,
            leading=self.leading,
            probe_s=probe_s,
        )

    def _wake(self) -> None:
        self.wakes += 1

    async def _connected(self) -> None:
        pass

    async def _notify(self, channel: str) -> None:
        self.probes += 1
        if self.send is None:
            await notify(channel)
        else:
            self.send(channel)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Listener]:
        task = asyncio.create_task(self.listener.run())
        try:
            await asyncio.wait_for(self.listener.listening.wait(), 15)
            yield self.listener
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PROBE_TIMEOUT_S", 0.5)
    monkeypatch.setattr(module, "_LOCK_RETRY_S", 0.2)


async def test_it_hears_itself_and_others(caplog: pytest.LogCaptureFixture) -> None:
    heard = Heard()
    async with heard.running() as listener:
        await until(lambda: heard.probes >= 3)
        before, woken = listener.heard_at, heard.wakes
        await notify(WAKE)
        await until(lambda: heard.wakes > woken)
        assert before is not None
        assert listener.heard_at is not None
        assert listener.heard_at > before
    assert not caplog.records


async def test_what_comes_together_with_its_own_message_is_heard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    both = asyncio.Queue[str]()
    heard = Heard(send=both.put_nowait, probe_s=0.01)
    async with heard.running():
        for _ in range(20):
            probe, woken = await asyncio.wait_for(both.get(), 15), heard.wakes
            # In one transaction, so in one packet.
            await run(f"BEGIN; NOTIFY {probe}; NOTIFY {WAKE}; COMMIT")
            await until(lambda woken=woken: heard.wakes > woken)
    # Nor did it only look for work since it had to connect anew.
    assert not caplog.records


async def test_what_is_wanted_of_a_worker_is_a_word_and_nothing_else_is_passed_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard, worker = Heard(), uuid4()
    async with heard.running():
        for payload in ("", "true", f"{worker} true", "worker-1 stop", f"{worker} stop now"):
            await run(f"NOTIFY {WORKER}, '{payload}'")
        for wanted in ("drain", "undrain", "stop", "kill"):
            await run(f"NOTIFY {WORKER}, '{worker} {wanted}'")
        await until(lambda: len(heard.wishes) == 4)
    assert heard.wishes == [(worker, word) for word in ("drain", "undrain", "stop", "kill")]
    assert caplog.messages == ["malformed notification"] * 5


async def test_a_deaf_one_tries_another_session_says_it_once_and_is_not_taken_for_well(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = Heard(send=lambda channel: None)
    async with heard.running() as listener:
        since = listener.heard_at
        await until(lambda: heard.probes >= 4)
        said = [(each.levelname, each.getMessage()) for each in caplog.records]
        assert [level for level, _ in said] == ["WARNING", "ERROR"]
        assert "DATABASE_DIRECT_URL" in said[1][1]
        assert listener.heard_at == since
        # Deaf for its own messages, it still takes what comes.
        woken = heard.wakes
        await until(listener.listening.is_set)
        await notify(WAKE)
        await until(lambda: heard.wakes > woken)
        # And it recovers by itself.
        heard.send = None
        caplog.set_level("INFO")
        await until(lambda: "listener hears itself again" in caplog.messages)


async def test_a_probe_that_cannot_be_sent_proves_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_S", (0.1, 0.1))

    def fail(channel: str) -> None:
        raise psycopg.OperationalError("the pool is exhausted")

    heard = Heard(send=fail)
    async with heard.running():
        await until(lambda: heard.probes >= 3)
        assert not caplog.records


async def locked(coordinator: UUID) -> bool:
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as connection:
        query = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = %s::bigint"
        key = store.lock_key(coordinator) & 0xFFFFFFFF
        return await (await connection.execute(query, [key])).fetchone() is not None


async def test_a_lock_that_an_old_session_holds_does_not_keep_it_from_hearing() -> None:
    heard = Heard()
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as old:
        assert await store.lock(old, heard.id)
        async with heard.running():
            woken = heard.wakes
            await notify(WAKE)
            await until(lambda: heard.wakes > woken)
            await old.close()
            async with asyncio.timeout(15):
                while not await locked(heard.id):
                    await asyncio.sleep(0.02)


async def test_a_broken_session_is_replaced_and_locks_again() -> None:
    heard = Heard()
    async with heard.running() as listener:
        woken = heard.wakes
        await run(OTHERS)
        # It looks for work at once: what was sent meanwhile is lost.
        await until(lambda: heard.wakes > woken)
        await until(listener.listening.is_set)
        async with asyncio.timeout(15):
            while not await locked(heard.id):
                await asyncio.sleep(0.02)


async def test_of_all_one_leads_and_another_when_its_session_is_gone() -> None:
    first, second = Heard(), Heard()
    async with first.running():
        await asyncio.wait_for(first.leading.wait(), 5)
        async with second.running():
            # By then it has tried.
            await until(lambda: second.probes > 1)
            assert not second.leading.is_set()
            # Both sessions end; either may lead then, but one alone.
            await run(OTHERS)
            await until(lambda: not first.leading.is_set())
            await until(lambda: first.leading.is_set() or second.leading.is_set(), 5)
            assert first.leading.is_set() != second.leading.is_set()
        await asyncio.wait_for(first.leading.wait(), 5)
