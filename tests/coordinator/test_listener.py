"""Test that the listener receives messages, probes itself, and holds the locks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import AsyncConnection, sql

from taskmaster.coordinator import listener as module
from taskmaster.coordinator import store
from taskmaster.coordinator.listener import Listener, NotifyChannel
from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks.outage_log import OutageLog
from tests.waiting import until

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


class RecordedListener:
    """A running listener and the calls that it made."""

    def __init__(self, send: Callable[[str], object] | None = None, probe_s: float = 0.2) -> None:
        self.id = uuid4()
        self.wakes = self.probes = 0
        self.commands: list[tuple[UUID, str]] = []
        self.leading = asyncio.Event()
        self.send = send
        self.listener = Listener(
            conninfo(),
            self.id,
            OutageLog(),
            on_wake=self._wake,
            on_cancel=lambda _: None,
            on_command=lambda *command: self.commands.append(command),
            on_watch=lambda: None,
            on_operation=lambda: None,
            on_pool=lambda: None,
            on_schedule=lambda: None,
            on_pause=lambda: None,
            on_connect=self._on_connect,
            notify=self._notify,
            leading=self.leading,
            probe_s=probe_s,
        )

    def _wake(self) -> None:
        self.wakes += 1

    async def _on_connect(self) -> None:
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


async def test_it_receives_its_own_probes_and_other_messages(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorded = RecordedListener()
    async with recorded.running() as listener:
        await until(lambda: recorded.probes >= 3)
        before, woken = listener.heard_at, recorded.wakes
        await notify(NotifyChannel.WAKE)
        await until(lambda: recorded.wakes > woken)
        assert before is not None
        assert listener.heard_at is not None
        assert listener.heard_at > before
    assert not caplog.records


async def test_a_message_in_the_same_packet_as_a_probe_is_received(
    caplog: pytest.LogCaptureFixture,
) -> None:
    both = asyncio.Queue[str]()
    recorded = RecordedListener(send=both.put_nowait, probe_s=0.01)
    async with recorded.running():
        for _ in range(20):
            probe, woken = await asyncio.wait_for(both.get(), 15), recorded.wakes
            # In one transaction, so in one packet.
            await run(f"BEGIN; NOTIFY {probe}; NOTIFY {NotifyChannel.WAKE}; COMMIT")
            await until(lambda woken=woken: recorded.wakes > woken)
    # It did not scan because of a new session.
    assert not caplog.records


async def test_commands_are_passed_on_and_malformed_ones_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorded, worker = RecordedListener(), uuid4()
    async with recorded.running():
        for payload in ("", "true", f"{worker} true", "worker-1 stop", f"{worker} stop now"):
            await run(f"NOTIFY {NotifyChannel.WORKER}, '{payload}'")
        for command in ("drain", "undrain", "stop", "kill"):
            await run(f"NOTIFY {NotifyChannel.WORKER}, '{worker} {command}'")
        await until(lambda: len(recorded.commands) == 4)
    assert recorded.commands == [
        (worker, command) for command in ("drain", "undrain", "stop", "kill")
    ]
    assert caplog.messages == ["malformed notification ignored"] * 5


async def test_without_probes_it_reconnects_once_logs_an_error_and_recovers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorded = RecordedListener(send=lambda channel: None)
    async with recorded.running() as listener:
        since = listener.heard_at
        await until(lambda: recorded.probes >= 4)
        logged = [(each.levelname, each.getMessage()) for each in caplog.records]
        assert [level for level, _ in logged] == ["WARNING", "ERROR"]
        assert "TASKMASTER_DATABASE_DIRECT_URL" in logged[1][1]
        assert listener.heard_at == since
        # It still receives other messages.
        woken = recorded.wakes
        await until(listener.listening.is_set)
        await notify(NotifyChannel.WAKE)
        await until(lambda: recorded.wakes > woken)
        # It recovers without a new session.
        recorded.send = None
        caplog.set_level("INFO")
        await until(lambda: "listener receives NOTIFY again" in caplog.messages)


async def test_a_probe_that_cannot_be_sent_proves_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_S", (0.1, 0.1))

    def fail(channel: str) -> None:
        raise psycopg.OperationalError("the pool is exhausted")

    recorded = RecordedListener(send=fail)
    async with recorded.running():
        await until(lambda: recorded.probes >= 3)
        assert not caplog.records


async def locked(coordinator: UUID) -> bool:
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as connection:
        query = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = %s::bigint"
        key = store.lock_key(coordinator) & 0xFFFFFFFF
        return await (await connection.execute(query, [key])).fetchone() is not None


async def test_it_listens_while_an_old_session_holds_its_lock() -> None:
    recorded = RecordedListener()
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as old:
        assert await store.try_liveness_lock(old, recorded.id)
        async with recorded.running():
            woken = recorded.wakes
            await notify(NotifyChannel.WAKE)
            await until(lambda: recorded.wakes > woken)
            await old.close()
            async with asyncio.timeout(15):
                while not await locked(recorded.id):
                    await asyncio.sleep(0.02)


async def test_a_broken_session_is_replaced_and_locks_again() -> None:
    recorded = RecordedListener()
    async with recorded.running() as listener:
        woken = recorded.wakes
        await run(OTHERS)
        # It wakes the claimer immediately: messages sent without a session are lost.
        await until(lambda: recorded.wakes > woken)
        await until(listener.listening.is_set)
        async with asyncio.timeout(15):
            while not await locked(recorded.id):
                await asyncio.sleep(0.02)


async def test_one_listener_leads_and_another_takes_over_when_its_session_ends() -> None:
    first, second = RecordedListener(), RecordedListener()
    async with first.running():
        await asyncio.wait_for(first.leading.wait(), 5)
        async with second.running():
            # It has tried to take the leader lock by then.
            await until(lambda: second.probes > 1)
            assert not second.leading.is_set()
            # Both sessions end. Exactly one of them leads afterwards.
            await run(OTHERS)
            await until(lambda: not first.leading.is_set())
            await until(lambda: first.leading.is_set() or second.leading.is_set())
            assert first.leading.is_set() != second.leading.is_set()
        await asyncio.wait_for(first.leading.wait(), 5)
