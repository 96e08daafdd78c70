"""Test `make demo` as a new user sees it."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys

import pytest

from taskmaster.taskmaster_site.demo import process_group
from taskmaster.taskmaster_site.embedded_postgres.server import free_port
from tests.postgres_plugin import ROOT
from tests.system.fleet import environment
from tests.taskmaster_site.demo.running_demo import MODULE, Demo, all_end

pytestmark = pytest.mark.django_db(transaction=True)


def new_password() -> str:
    """Run `make password` and return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "taskmaster.taskmaster_site.demo.admin"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = re.search(r"^user: admin\npassword: (\S+)$", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    return found[1]


def test_runs_tasks_stops_cleanly_and_keeps_its_data() -> None:
    demo = Demo(environment())
    try:
        demo.wait_ready()
        assert f"http://127.0.0.1:{demo.port}/" in demo.output
        assert re.search(r"^coordinator \| .*worker joined .*default-1", demo.output, re.MULTILINE)
        block = demo.lines[demo.lines.index("TaskMaster is ready:") :]
        assert {
            f"user: {demo.printed_value('user')}",
            f"password: {demo.printed_value('password')}",
        } <= {*block}
        assert any("make password" in line for line in block)
        token = demo.token()
        sorting = demo.submit({"command": "seq 3 | sort -r"}, token)
        adding = demo.submit({"name": "examples.tasks.add", "args": [20, 22]}, token)
        assert demo.result(sorting, token) == {"exit_code": 0}
        [chunk] = demo.call(f"/api/tasks/{sorting}/output/", token=token)
        assert chunk["text"] == "3\n2\n1\n"
        assert demo.result(adding, token) == 42
        started = demo.processes()
        assert len(started) > 5
        assert demo.interrupt() == 0
        assert all_end(started)
        assert "Traceback" not in demo.output
    finally:
        demo.discard()

    set_while_stopped = new_password()
    again = Demo(environment())
    try:
        again.wait_ready()
        assert again.printed_value("user") == "admin"
        assert "password: " not in again.output
        assert "`make password` sets a new password." in again.lines
        assert again.token(set_while_stopped) == token
        assert again.token(new_password()) == token
        assert again.call(f"/api/tasks/{adding}/", token=token)["result"] == 42
        assert again.interrupt() == 0
    finally:
        again.discard()


def test_log_lines_with_figures_are_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    script = (
        "print('2026-01-01T00:00:00.000Z INFO    figures held=0');"
        "print('2026-01-01T00:00:00.000Z WARNING figures are late');"
        "print('2026-01-01T00:00:00.000Z INFO    worker joined')"
    )

    async def relay() -> None:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, stdout=subprocess.PIPE
        )
        await process_group._forward_output(child, "coordinator | ")
        await child.wait()

    asyncio.run(relay())
    shown = [line.split("Z ")[1] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["WARNING figures are late", "INFO    worker joined"]


@pytest.mark.parametrize("setting", ["PORT", "TASKMASTER_GRPC_PORT"])
def test_the_error_for_a_port_in_use_names_the_setting(setting: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ports = {"PORT": str(free_port()), "TASKMASTER_GRPC_PORT": str(free_port()), setting: port}
        done = subprocess.run(
            MODULE,
            cwd=ROOT,
            env={**os.environ, **ports},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert f"Port {port} is in use. Choose another one with {setting}" in done.stderr
