"""Test that real workers join over TLS, or report in one line why they cannot."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async

from taskmaster.workers.models import Worker
from taskmaster.workers.security import certificates, tokens
from tests.coordinator.rpc.secured import secured
from tests.system.fleet import end, manage
from tests.system.workers import call, run_worker, worker
from tests.waiting import until_finished

pytestmark = pytest.mark.django_db(transaction=True)
make = sync_to_async(tokens.create)


async def test_a_worker_joins_only_with_token_and_authority(tmp_path: Path) -> None:
    made = certificates.write(tmp_path / "certs", ["localhost"], days=1)
    foreign = certificates.write(tmp_path / "foreign", ["localhost"], days=1)
    secret = (await make("here")).secret
    good = {"TASKMASTER_TLS_CA": str(made.ca), "TASKMASTER_JOIN_TOKEN": secret}
    with secured(tmp_path / "certs", tmp_path) as (address, program):
        refused = [
            run_worker(address, "--name", name, **{**good, **wrong})
            for name, wrong in (
                ("wrong", {"TASKMASTER_JOIN_TOKEN": "tmjoin_wrong"}),
                ("deceived", {"TASKMASTER_TLS_CA": str(foreign.ca)}),
                ("plain", {"TASKMASTER_TLS_CA": ""}),
            )
        ]
        async with worker(address, **good):
            assert (await until_finished(await call("echo", 7))).result == 7
        wrong, deceived, plain = await asyncio.gather(
            *(asyncio.to_thread(refusal, each, number < 1) for number, each in enumerate(refused))
        )
        assert (
            "refused this worker: the join token is invalid, revoked, expired or used up" in wrong
        )
        assert "no coordinator reachable" in deceived
        assert "CERTIFICATE_VERIFY_FAILED" in deceived
        assert "no coordinator reachable" in plain
        assert "refused_by=" in plain
        assert len(program.wrote("call refused: invalid join token: it does not exist")) == 1
        assert not any(secret in each for each in (wrong, deceived, plain, program.text()))
    assert [row.name async for row in Worker.objects.all()] == ["heron"]


def refusal(process: subprocess.Popen[str], leaves: bool) -> str:
    """Return the output of a refused worker, which exits by itself or keeps waiting."""
    assert process.stdout is not None
    if leaves:
        assert process.wait(20) == 1
        return process.stdout.read()
    lines: list[str] = []
    while "no coordinator reachable" not in "".join(lines):
        lines.append(process.stdout.readline())
        assert lines[-1]
    assert end(process) == 0
    return "".join(lines)


@pytest.mark.parametrize(
    ("command", "environment", "rule"),
    [
        (
            ("runcoordinator", "--host", "0.0.0.0"),
            {},
            "set TASKMASTER_TLS_CERT and TASKMASTER_TLS_KEY",
        ),
        (
            ("runworker", "--coordinator", "10.0.0.7:50051"),
            {"TASKMASTER_JOIN_TOKEN": "t"},
            "join token would be sent in plain text",
        ),
        (
            ("runcoordinator",),
            {"TASKMASTER_TLS_CERT": "/none.pem", "TASKMASTER_TLS_KEY": "/none.pem"},
            "TASKMASTER_TLS_CERT: /none.pem cannot be read: No such file or directory.",
        ),
    ],
)
def test_an_unsafe_configuration_does_not_start(
    command: tuple[str, ...], environment: dict[str, str], rule: str
) -> None:
    process = manage(*command, **environment)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert rule in output
    assert "Traceback" not in output
