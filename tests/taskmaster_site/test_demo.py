"""`make demo`, as a newcomer sees it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from typing import Any

import psutil
import pytest

from taskmaster_site.postgres import free_port
from tests.postgres_plugin import ROOT
from tests.system.fleet import environment

pytestmark = pytest.mark.django_db(transaction=True)


class Demo:
    """A demo on the test database."""

    def __init__(self) -> None:
        self.port = free_port()
        self.lines: list[str] = []
        self._said = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "taskmaster_site.demo"],
            cwd=ROOT,
            env=environment(PORT=str(self.port), TASKMASTER_GRPC_PORT=str(free_port())),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._said:
                self.lines.append(line.rstrip())
                self._said.notify_all()

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def until_it_says(self, text: str) -> None:
        with self._said:
            assert self._said.wait_for(lambda: text in self.output, 60), self.output

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(40)

    def call(self, path: str, body: dict[str, Any] | None = None, token: str = "") -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Token {token}")
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(request, data, timeout=10) as answer:
            return json.load(answer)


def ended(demo: Demo, task_id: int, token: str) -> Any:
    deadline = time.monotonic() + 20
    while True:
        task = demo.call(f"/api/tasks/{task_id}/", token=token)
        if task["status"] in ("complete", "failed"):
            return task
        assert time.monotonic() < deadline, task


def test_it_runs_tasks_stops_cleanly_and_goes_on_with_its_data() -> None:
    demo = Demo()
    try:
        demo.until_it_says("Ctrl+C stops everything.")
        assert "TaskMaster is ready:" in demo.lines
        assert f"http://127.0.0.1:{demo.port}/" in demo.output
        assert re.search(r"^coordinator \| .*worker joined .*default-1", demo.output, re.MULTILINE)
        user = re.search(r"^user: (\S+)$", demo.output, re.MULTILINE)
        password = re.search(r"^password: (\S+)$", demo.output, re.MULTILINE)
        assert user is not None
        assert password is not None
        who = {"username": user[1], "password": password[1]}
        token = demo.call("/api/token/", who)["token"]
        sorting = demo.call("/api/tasks/", {"command": "seq 3 | sort -r"}, token)["id"]
        adding = {"name": "examples.tasks.add", "args": [20, 22]}
        adding_id = demo.call("/api/tasks/", adding, token)["id"]
        assert ended(demo, sorting, token)["result"] == {"exit_code": 0}
        [chunk] = demo.call(f"/api/tasks/{sorting}/output/", token=token)
        assert chunk["text"] == "3\n2\n1\n"
        assert ended(demo, adding_id, token)["result"] == 42
        started = psutil.Process(demo.process.pid).children(recursive=True)
        assert len(started) > 4
        assert demo.stop() == 0
        _, left = psutil.wait_procs(started, timeout=5)
        assert left == []
        assert "Traceback" not in demo.output
    finally:
        demo.process.kill()

    again = Demo()
    try:
        again.until_it_says("Ctrl+C stops everything.")
        assert "password: " not in again.output
        assert again.call(f"/api/tasks/{adding_id}/", token=token)["result"] == 42
        assert again.stop() == 0
    finally:
        again.process.kill()


@pytest.mark.parametrize("setting", ["PORT", "TASKMASTER_GRPC_PORT"])
def test_a_taken_port_is_named_with_the_setting_that_changes_it(setting: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ports = {"PORT": str(free_port()), "TASKMASTER_GRPC_PORT": str(free_port()), setting: port}
        done = subprocess.run(
            [sys.executable, "-m", "taskmaster_site.demo"],
            cwd=ROOT,
            env={**os.environ, **ports},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert f"Port {port} is taken; {setting} changes it" in done.stderr
