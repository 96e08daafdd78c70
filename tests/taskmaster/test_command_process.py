"""Test `manage.py taskmaster` in a process of its own: exit code, streams and error lines."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

from taskmaster.tasks.models import TaskOutput
from tests.factories import stored
from tests.system.fleet import ROOT, coordinator, end, environment, manage

pytestmark = pytest.mark.django_db(transaction=True)


def process(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a separate process."""
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "taskmaster", *arguments],
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_error_is_one_line_on_stderr_and_exit_code_1() -> None:
    ended = process("submit", "examples.tasks.ad")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(
        "CommandError: NAME: 'examples.tasks.ad' is not a registered task"
    )
    assert len(ended.stderr.splitlines()) == 1


def test_an_unavailable_database_is_named_without_its_password() -> None:
    nowhere = "postgresql://someone:secret@127.0.0.1:1/nothing"
    ended = process("list", DATABASE_URL=nowhere)
    assert (ended.returncode, ended.stdout) == (1, "")
    expected = "Database unavailable: DATABASE_URL (127.0.0.1:1/nothing) does not answer"
    assert ended.stderr.startswith(expected)
    assert len(ended.stderr.splitlines()) == 1
    assert "secret" not in ended.stderr


def test_the_error_for_a_database_without_tables_names_migrate() -> None:
    ended = process("list", PGOPTIONS="-c search_path=nowhere")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "run `manage.py migrate`" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_closed_pipe_and_a_limited_encoding_cause_no_error() -> None:
    task_id = stored(tags=("grün",))[0]
    TaskOutput.objects.create(
        task_id=task_id, lease=1, attempt=1, seq=0, stream="stdout", text="ü" * 1_000_000
    )
    poor = process("show", str(task_id), PYTHONIOENCODING="ascii")
    assert (poor.returncode, poor.stderr) == (0, "")
    assert "gr?n" in poor.stdout
    with manage("taskmaster", "show", str(task_id)) as left:
        assert left.stdout is not None
        assert left.stdout.readline() == f"Task {task_id}  pending\n"
        left.stdout.close()
        assert left.wait(timeout=30) == 0


async def test_submit_and_wait_shows_how_it_ended_and_exits_with_it() -> None:
    async with coordinator() as address:
        worker = manage("runworker", "--coordinator", address, "--concurrency", "2")
        try:
            script, raised = await asyncio.gather(
                asyncio.to_thread(process, "submit", "--shell", "seq 3 | sort -r", "--wait"),
                asyncio.to_thread(
                    process,
                    *("submit", "examples.tasks.fail", "--args", '["on purpose"]'),
                    *("--max-attempts", "1", "--wait", "--json"),
                ),
            )
        finally:
            await asyncio.to_thread(end, worker)
    assert (script.returncode, script.stderr) == (0, "")
    assert "  3\n  2\n  1\n" in script.stdout
    assert raised.returncode == 1
    shown = json.loads(raised.stdout)
    assert shown["status"] == "failed"
    assert "on purpose" in shown["errors"][0]["message"]
    assert raised.stderr == f"CommandError: Task {shown['id']} is failed.\n"
