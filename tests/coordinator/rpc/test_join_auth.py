"""Test which join tokens admit a worker over TLS, and how others are refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
from asgiref.sync import sync_to_async

from taskmaster.coordinator.dispatch.connections import WorkerConnection
from taskmaster.coordinator.rpc.join_auth import JoinAuth
from taskmaster.tasks.models import Task
from taskmaster.workers.models import JoinToken, Worker
from taskmaster.workers.security import certificates, tokens
from tests.coordinator.rpc.intruder import report, status
from tests.coordinator.rpc.secured import Guest, channel, every_call, secured
from tests.factories import in_s, stored
from tests.system.programs import Program
from tests.waiting import until, until_counted
from tests.workers.security.expired import expire

pytestmark = pytest.mark.django_db(transaction=True)
make, revoke = sync_to_async(tokens.create), sync_to_async(tokens.revoke)
store = sync_to_async(stored)
Code = grpc.StatusCode
WHY = (
    "the call has none",
    "it does not exist",
    "it is revoked",
    "it is expired",
    "it is used up",
    "the worker joined with another",
    "the worker did not register with it",
)


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    certificates.write(folder, ["localhost"], days=30)
    certificates.write(folder / "foreign", ["localhost"], days=30)
    expire(folder, "worker")
    return folder


async def test_every_invalid_token_gets_the_same_answer_and_its_reason_is_logged(
    certs: Path, tmp_path: Path
) -> None:
    good, other, revoked, expired, used = [
        (await make(name, uses=1 if name == "used" else None)).secret
        for name in ("good", "other", "revoked", "expired", "used")
    ]
    await revoke("revoked")
    await JoinToken.objects.filter(name="expired").aupdate(expires_at=in_s(-1))
    with secured(certs, tmp_path) as (address, program):
        async with channel(address, certs / "ca.pem") as opened:
            honest = Guest(opened, good)
            stream = await honest.join()
            first = Guest(opened, used)
            assert (await first.hello_status())[0] == Code.OK
            answers = set()
            # An invalid hello gets the same answer.
            for token in (None, "", "wrong", good.upper(), revoked, expired, used):
                answers |= {
                    await Guest(opened, token).hello_status(),
                    await Guest(opened, token).hello_status(slots=0),
                }
                for call in every_call(Guest(opened, token)):
                    answers.add(await status(call))
            # With a token that is valid, for a worker that joined with another.
            thief = Guest(opened, other)
            thief.id = honest.id
            for call in every_call(thief):
                answers.add(await status(call))
            # Another scheme.
            honest.metadata = (("authorization", f"Token {good}"),)
            answers.add(await status(honest.beat()))
            [(code, details)] = answers
            assert code == Code.UNAUTHENTICATED
            assert details.startswith("A valid join token is required")
            honest.metadata = (("authorization", f"Bearer {good}"),)
            assert (await honest.beat()).unknown_worker is False
            # A worker that has joined may join again, although no use is left.
            assert (await first.hello_status())[0] == Code.OK
            stream.cancel()
        assert await Worker.objects.acount() == 2
        for why in WHY:
            [line] = program.wrote(f"call refused: invalid join token: {why}")
            assert "peer=" in line
        assert not any(each in program.text() for each in (good, other, revoked, expired, used))


async def test_a_revoked_or_expired_token_ends_the_stream_and_its_tasks_are_rescued(
    certs: Path, tmp_path: Path
) -> None:
    secret = (await make("short")).secret
    brief = (await make("brief", expires_at=in_s(60))).secret
    with secured(certs, tmp_path) as (address, program):
        async with channel(address, certs / "ca.pem") as opened:
            guest, other = Guest(opened, secret), Guest(opened, brief)
            stream = await guest.join()
            [task_id] = await store(queue="unserved")
            [offer] = (await stream.read()).offers.offers
            await guest.update(**report("started", task_id, offer.lease, 1, token=offer.token))
            await until_counted(1, pk=task_id, status="started")
            second = await other.join()
            await revoke("short")
            await JoinToken.objects.filter(name="brief").aupdate(expires_at=in_s(0))
            assert (await status(stream))[0] == Code.UNAUTHENTICATED
            assert (await status(second))[0] == Code.UNAUTHENTICATED
            # Another worker may run the task. Calls of the expelled worker are refused.
            await until_counted(1, pk=task_id, status="pending", lease__gte=1)
            for call in every_call(guest):
                assert (await status(call))[0] == Code.UNAUTHENTICATED
            late = guest.update(**report("completed", task_id, offer.lease, 1))
            assert (await status(late))[0] == Code.UNAUTHENTICATED
        assert (await Task.objects.aget(pk=task_id)).status == "pending"
        await until_all_offline()
        assert program.wrote("worker disconnected: its join token is no longer valid")


async def test_a_failed_tls_handshake_is_logged_with_its_reason(
    certs: Path, tmp_path: Path
) -> None:
    secret = (await make("good")).secret
    mutual = {"TASKMASTER_TLS_CA": str(certs / "ca.pem"), "TASKMASTER_TLS_CLIENT_CERTS": "required"}
    ca, foreign = certs / "ca.pem", certs / "foreign"
    own = certs / "worker.pem", certs / "worker-key.pem"
    with secured(certs, tmp_path, **mutual) as (address, program):
        for opened, line in (
            (grpc.aio.insecure_channel(address), "WRONG_VERSION_NUMBER"),
            (channel(address, ca), "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
            (
                channel(address, ca, (certs / "worker-expired.pem", own[1])),
                "certificate has expired",
            ),
            (
                channel(address, ca, (foreign / "worker.pem", foreign / "worker-key.pem")),
                "CERTIFICATE_VERIFY_FAILED",
            ),
        ):
            before = program.size
            async with opened:
                code, details = await Guest(opened, secret).hello_status()
            assert code == Code.UNAVAILABLE, details
            await refused(program, line, before)
        async with channel(address, ca, own) as opened:
            assert (await Guest(opened, secret).hello_status())[0] == Code.OK
            assert (await Guest(opened, "wrong").hello_status())[0] == Code.UNAUTHENTICATED
        assert program.wrote("coordinator ready .*tls=mutual")
    assert await Worker.objects.acount() == 1


async def test_connected_workers_are_never_forgotten() -> None:
    unused: Any = None
    join_auth = JoinAuth(unused, unused, tokens_required=False)
    workers = [WorkerConnection(UUID(int=number), "w", None, 1) for number in range(1_500)]
    for number, worker in enumerate(workers):
        join_auth.remember(worker)
        worker.closed = bool(number % 2)
    found = [await join_auth.find_worker(str(worker.id), unused) for worker in workers]
    open_workers = [worker for worker in workers if not worker.closed]
    assert [each for each in found if each is not None and not each.closed] == open_workers
    assert sum(each is not None for each in found) == 1_000


async def until_all_offline() -> None:
    """Wait until every worker is offline."""
    async with asyncio.timeout(10):
        while await Worker.objects.exclude(status="offline").aexists():
            await asyncio.sleep(0.05)


async def refused(program: Program, reason: str, since: int) -> None:
    """Wait for one log line that contains the reason."""
    await until(lambda: program.wrote("Handshake failed", since))
    [line] = program.wrote("Handshake failed", since)
    assert reason in line, line
