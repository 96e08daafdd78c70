"""Run TaskMaster for a browser: web, coordinator, and workers that tests can kill."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.contrib.auth.hashers import make_password

from tests.system.fleet import end
from tests.system.programs import Program, Site
from tests.system.server import Server
from tests.waiting import wait_until

USER, PASSWORD = "ada", "countess of lovelace"
MODULES = "examples.tasks,tests.system.sample_tasks"
WORKERS = ("worker-1", "worker-2")


class Fleet(Site):
    """Web, coordinator and two workers with four processes each."""

    def __init__(self, folder: Path, server: Server) -> None:
        environment = {
            "DATABASE_URL": server.url,
            "TASKMASTER_TASK_MODULES": MODULES,
            # Tests leave tasks running; do not wait for them at the end.
            "TASKMASTER_SHUTDOWN_GRACE_S": "1",
        }
        super().__init__(folder, server.token, environment)
        self.server = server
        self.url = f"http://127.0.0.1:{self.web_port}"

    def run_named_worker(self, name: str) -> Program:
        """Start a worker; return when it is connected."""
        address = f"127.0.0.1:{self.coordinator_port}"
        command = ("manage.py", "runworker", "--coordinator", address, "--name", name)
        program = self.run(name, *command, "--concurrency", "4")
        wait_until(lambda: program.wrote("worker ready"), f"{name} is ready")
        return program

    def run_missing(self) -> None:
        """Start the processes that are not running: a test may have killed them."""
        starts = {
            "coordinator": self.run_coordinator,
            "web": self.run_web,
            **{name: (lambda name=name: self.run_named_worker(name)) for name in WORKERS},
        }
        for name, start in starts.items():
            program = self.programs.get(name)
            if program is None or program.process.poll() is not None:
                start()

    def kill(self, name: str) -> None:
        """Kill the process with SIGKILL."""
        process = self.programs[name].process
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def freeze(self, name: str) -> None:
        """Stop the process and its children until `thaw`."""
        os.killpg(self.programs[name].process.pid, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen process continue."""
        os.killpg(self.programs[name].process.pid, signal.SIGCONT)

    def submit(self, **task: Any) -> int:
        """Store a task and return its id."""
        answer = self.post("/api/tasks/", task)
        assert answer.status == 201, answer
        return int(answer.body["id"])

    def status(self, task_id: int) -> str:
        """Return the status of a task."""
        [status] = self.server.ask(
            "SELECT status FROM taskmaster_tasks_task WHERE id = %s", task_id
        )
        return str(status)

    def printed(self, task_id: int) -> str:
        """Return the stored output of a task."""
        [text] = self.server.ask(
            "SELECT COALESCE(string_agg(text, '' ORDER BY lease, seq), '') "
            "FROM taskmaster_tasks_taskoutput WHERE task_id = %s",
            task_id,
        )
        return str(text)

    def wait_for_status(self, task_id: int, *wanted: str) -> None:
        """Wait until the task has one of these statuses."""
        wait_until(
            lambda: self.status(task_id) in wanted, f"task {task_id} is {' or '.join(wanted)}"
        )

    def close(self) -> None:
        """Stop the processes that still run; those that a test killed are skipped."""
        for program in reversed(self.programs.values()):
            end(program.process)


@contextmanager
def running_fleet(folder: Path, server: Server) -> Iterator[Fleet]:
    """Run a fleet on this server, with a superuser who can log in."""
    password = make_password(PASSWORD)
    server.ask("UPDATE auth_user SET password = %s WHERE username = %s", password, USER)
    fleet = Fleet(folder, server)
    try:
        fleet.run_missing()
        yield fleet
    finally:
        fleet.close()
