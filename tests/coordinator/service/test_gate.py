"""Who is let in with a join token over TLS, and what is told to whoever is not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import grpc
import pytest
from asgiref.sync import sync_to_async

from tasks.models import Task
from tests.coordinator.service.intruder import report, status
from tests.coordinator.service.secured import Guest, channel, every_call, secured
from tests.system.fleet import until, until_counted
from tests.system.programs import Program
from tests.tasks.sample import in_s, stored
from tests.workers.joining.expired import expire
from workers.joining import certificates, tokens
from workers.models import JoinToken, Worker

pytestmark = pytest.mark.django_db(transaction=True)
make, revoke = sync_to_async(tokens.make), sync_to_async(tokens.revoke)
store = sync_to_async(stored)
Code = grpc.StatusCode
WHY = (
    "there is none",
    "nobody knows it",
    "it is revoked",
    "it is expired",
    "it is used up",
    "the worker joined with another",
    "it is not the worker's",
)


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    certificates.write(folder, ["localhost"], days=30)
    certificates.write(folder / "foreign", ["localhost"], days=30)
    expire(folder, "worker")
    return folder


async def test_whatever_is_wrong_with_a_token_the_answer_is_the_same(
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
            stream = await honest.stay()
            first = Guest(opened, used)
            assert (await first.knock())[0] == Code.OK
            answers = set()
            # The broken hello is not looked at either.
            for token in (None, "", "wrong", good.upper(), revoked, expired, used):
                answers |= {
                    await Guest(opened, token).knock(),
                    await Guest(opened, token).knock(slots=0),
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
            assert details.startswith("A valid join token is needed")
            honest.metadata = (("authorization", f"Bearer {good}"),)
            assert (await honest.beat()).unknown_worker is False
            # Who has joined may come again, although no use is left.
            assert (await first.knock())[0] == Code.OK
            stream.cancel()
        assert await Worker.objects.acount() == 2
        for why in WHY:
            [line] = program.wrote(f"refused at the gate: the join token, {why}")
            assert "peer=" in line
        assert not any(each in program.text() for each in (good, other, revoked, expired, used))


async def test_a_token_that_is_revoked_or_expires_ends_the_stream_and_what_ran_is_rescued(
    certs: Path, tmp_path: Path
) -> None:
    secret = (await make("short")).secret
    brief = (await make("brief", expires_at=in_s(60))).secret
    with secured(certs, tmp_path) as (address, program):
        async with channel(address, certs / "ca.pem") as opened:
            guest, other = Guest(opened, secret), Guest(opened, brief)
            stream = await guest.stay()
            [task_id] = await store(queue="nobody-s")
            [offer] = (await stream.read()).offers.offers
            await guest.update(**report("started", task_id, offer.lease, 1))
            await until_counted(1, pk=task_id, status="started")
            second = await other.stay()
            began = time.monotonic()
            await revoke("short")
            await JoinToken.objects.filter(name="brief").aupdate(expires_at=in_s(0))
            assert (await status(stream))[0] == Code.UNAUTHENTICATED
            assert (await status(second))[0] == Code.UNAUTHENTICATED
            assert time.monotonic() - began < 10
            # Somebody else may run it; nothing more is taken from the one who is out.
            await until_counted(1, pk=task_id, status="pending", lease__gte=1)
            for call in every_call(guest):
                assert (await status(call))[0] == Code.UNAUTHENTICATED
            late = guest.update(**report("completed", task_id, offer.lease, 1))
            assert (await status(late))[0] == Code.UNAUTHENTICATED
        assert (await Task.objects.aget(pk=task_id)).status == "pending"
        await until_all_offline()
        assert program.wrote("worker expelled: its join token is not valid")


async def test_whoever_fails_at_tls_is_refused_with_a_line_in_the_log(
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
                code, details = await Guest(opened, secret).knock()
            assert code == Code.UNAVAILABLE, details
            await refused(program, line, before)
        async with channel(address, ca, own) as opened:
            assert (await Guest(opened, secret).knock())[0] == Code.OK
            assert (await Guest(opened, "wrong").knock())[0] == Code.UNAUTHENTICATED
        assert program.wrote("coordinator ready .*tls=mutual")
    assert await Worker.objects.acount() == 1


async def until_all_offline() -> None:
    """Waits until no worker is left."""
    async with asyncio.timeout(10):
        while await Worker.objects.exclude(status="offline").aexists():
            await asyncio.sleep(0.05)


async def refused(program: Program, reason: str, since: int) -> None:
    """There is one line that says why."""
    await until(lambda: program.wrote("Handshake failed", since))
    [line] = program.wrote("Handshake failed", since)
    assert reason in line, line
