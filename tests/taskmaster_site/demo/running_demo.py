"""Run the demo, and observe its output, its API and its processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from taskmaster.taskmaster_site.embedded_postgres.server import EmbeddedPostgres, free_port
from tests.postgres_plugin import ROOT
from tests.waiting import wait_until

MODULE = (sys.executable, "-m", "taskmaster.taskmaster_site.demo.main")
#: Variables of a test run that a user's shell does not have.
_TEST_VARIABLES = (
    "DATABASE_URL",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "MAKEFLAGS",
    "MAKELEVEL",
    "TASKMASTER_SHELL_TASKS",
    "TASKMASTER_TASK_MODULES",
)


def shell_environment(**extra: str) -> dict[str, str]:
    """Return the environment of a user's shell, in which the embedded database is used."""
    kept = {name: value for name, value in os.environ.items() if name not in _TEST_VARIABLES}
    return {**kept, "PYTHONUNBUFFERED": "1", **extra}


class Demo:
    """A demo in its own session, as in a terminal."""

    def __init__(
        self,
        environment: dict[str, str],
        *,
        command: Sequence[str] = MODULE,
        checkout: Path = ROOT,
    ) -> None:
        self.port = free_port()
        self.lines: list[str] = []
        self.cluster = EmbeddedPostgres(checkout / ".data" / "postgres")
        self._output_changed = threading.Condition()
        self.process = subprocess.Popen(
            command,
            cwd=checkout,
            env={**environment, "PORT": str(self.port), "TASKMASTER_GRPC_PORT": str(free_port())},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._output_changed:
                self.lines.append(line.rstrip())
                self._output_changed.notify_all()

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for_output(self, text: str, seconds: float = 60) -> None:
        with self._output_changed:
            assert self._output_changed.wait_for(lambda: text in self.output, seconds), self.output

    def wait_ready(self, seconds: float = 60) -> None:
        self.wait_for_output("Ctrl+C stops everything.", seconds)

    def printed_value(self, key: str) -> str:
        """Return the value behind `user:` or `password:` at the beginning of a line."""
        found = re.search(rf"^{key}: (\S+)$", self.output, re.MULTILINE)
        assert found is not None, self.output
        return found[1]

    def processes(self) -> list[psutil.Process]:
        """Return the demo's process and its descendants, without the embedded server."""
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]

    def interrupt(self) -> int:
        """Send SIGINT to the foreground processes, as a terminal does for Ctrl+C; return the exit
        code.
        """
        os.killpg(self.process.pid, signal.SIGINT)
        code = self.process.wait(60)
        self._reader.join(10)
        return code

    def discard(self) -> None:
        """Kill the demo if a failed test has left it running."""
        if self.process.poll() is None:
            left = self.processes()
            for each in left:
                each.kill()
            psutil.wait_procs(left, timeout=10)

    def token(self, password: str = "") -> str:
        credentials = {"username": "admin", "password": password or self.printed_value("password")}
        token: str = self.call("/api/token/", credentials)["token"]
        return token

    def call(self, path: str, body: dict[str, Any] | None = None, token: str = "") -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Token {token}")
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(request, data, timeout=10) as answer:
            return json.load(answer)

    def submit(self, body: dict[str, Any], token: str) -> int:
        task_id: int = self.call("/api/tasks/", body, token)["id"]
        return task_id

    def result(self, task_id: int, token: str) -> Any:
        """Wait for the end of a task and return its result."""

        def finished_task() -> Any:
            task = self.call(f"/api/tasks/{task_id}/", token=token)
            return task if task["status"] in ("complete", "failed") else None

        return wait_until(finished_task, "the task ends", retry_on=(OSError,))["result"]


def all_end(processes: Sequence[psutil.Process]) -> bool:
    """Return whether all of these processes end."""
    return not psutil.wait_procs(processes, timeout=10)[1]
