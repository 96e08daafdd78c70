"""Run coordinator, worker and web as processes with log files, and a client that submits
constantly.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from tests.system.fleet import ROOT, end, free_port
from tests.system.server import Server
from tests.waiting import wait_until

MODULE = "tests.system.sample_tasks"


class Program:
    """A process that writes its log to a file."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: dict[str, str],
        *,
        before: Sequence[str] = (),
    ) -> None:
        """Start the command. `before` is a prefix of the command line, for example to run it on a
        host.
        """
        self.log = log
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [*before, sys.executable, *command],
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
                cwd=ROOT,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def text(self, since: int = 0) -> str:
        """Return the log from this byte on."""
        return self.log.read_bytes()[since:].decode(errors="replace")

    def wrote(self, pattern: str, since: int = 0) -> list[str]:
        """Return the lines that match the pattern."""
        return [line for line in self.text(since).splitlines() if re.search(pattern, line)]

    @property
    def size(self) -> int:
        """Return the size of the log, as a start for later searches."""
        return self.log.stat().st_size


class Answer(NamedTuple):
    """A response of the web; status 0 if there was none."""

    status: int
    body: Any


class Site:
    """One coordinator, worker and web on one database."""

    def __init__(self, folder: Path, token: str, environment: dict[str, str]) -> None:
        self.folder = folder
        self.token = token
        self.environment = {"TASKMASTER_TASK_MODULES": MODULE, **environment}
        self.programs: dict[str, Program] = {}
        self.coordinator_port, self.web_port = free_port(), free_port()

    def run(self, name: str, *command: str, **environment: str) -> Program:
        """Start a program."""
        log = self.folder / f"{name}.log"
        program = Program(command, log, {**self.environment, **environment})
        self.programs[name] = program
        return program

    def run_coordinator(self) -> Program:
        """Start the coordinator; return when it is ready."""
        address = ("--port", str(self.coordinator_port))
        program = self.run("coordinator", "manage.py", "runcoordinator", *address)
        wait_until(lambda: program.wrote("coordinator ready"), "the coordinator is ready")
        return program

    def run_worker(self) -> Program:
        """Start a worker; return when it is connected."""
        address = f"127.0.0.1:{self.coordinator_port}"
        program = self.run(
            "worker",
            *("manage.py", "runworker", "--coordinator", address, "--name", "heron"),
            *("--executor", "thread", "--concurrency", "8"),
        )
        wait_until(lambda: program.wrote("worker ready"), "the worker is ready")
        return program

    def run_web(self) -> Program:
        """Start the web process; return when it answers."""
        port = ("-b", "127.0.0.1", "-p", str(self.web_port))
        program = self.run(
            "web", "-m", "daphne", *port, "taskmaster.taskmaster_site.asgi:application"
        )
        wait_until(lambda: self.get("/healthz").status == 200, "the web answers")
        return program

    def close(self) -> None:
        """Stop all programs gracefully."""
        codes = {name: end(each.process) for name, each in reversed(self.programs.items())}
        assert set(codes.values()) == {0}, (codes, self.logs())

    def logs(self) -> str:
        """Return the logs of all programs, for a failure."""
        return "\n".join(f"---- {name}\n{each.text()}" for name, each in self.programs.items())

    # ---- the web ----------------------------------------------------------------------------

    def get(self, path: str) -> Answer:
        """Send a GET request with the token."""
        return self._request(path, None)

    def post(self, path: str, body: object) -> Answer:
        """Send a POST request of JSON with the token."""
        return self._request(path, json.dumps(body).encode())

    def _request(self, path: str, data: bytes | None) -> Answer:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.web_port}{path}",
            data,
            {"Authorization": f"Token {self.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return Answer(response.status, json.load(response))
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read())
        except OSError:
            return Answer(0, None)


class Feed:
    """Submit tasks one after the other; each execution writes its number to a ledger."""

    def __init__(self, site: Site, name: str, *, padding: int = 0) -> None:
        self._site = site
        self._padding = padding
        self._numbers = itertools.count(1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed")
        self._ledger = site.folder / f"{name}.ledger"
        self._ledger.touch()
        #: The ids of stored tasks by number, and the number of refusals by the web.
        self.accepted: dict[int, int] = {}
        self.refused: list[Answer] = []

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            number = next(self._numbers)
            # Every fifth task is claimed ahead and held for a moment.
            answer = self._site.post("/api/tasks/", self._task(number, 0 if number % 5 else 1))
            if answer.status == 201:
                self.accepted[number] = answer.body["id"]
            else:
                self.refused.append(answer)

    def submit_many(self, count: int, *, in_s: float = 0, lasting_s: float = 0.02) -> None:
        """Submit many tasks in one request; they are due in `in_s`, run `lasting_s` seconds."""
        numbers = list(itertools.islice(self._numbers, count))
        tasks = [self._task(number, in_s, lasting_s) for number in numbers]
        answer = self._site.post("/api/tasks/bulk/", {"tasks": tasks})
        assert answer.status == 201, answer
        self.accepted.update(zip(numbers, answer.body["ids"], strict=True))

    def _task(self, number: int, in_s: float, lasting_s: float = 0.02) -> dict[str, object]:
        task: dict[str, object] = {
            "name": f"{MODULE}.note",
            "args": [str(self._ledger), number, os.urandom(self._padding // 2).hex(), lasting_s],
            "max_attempts": 1,
        }
        if in_s:
            task["scheduled_at"] = (datetime.now(UTC) + timedelta(seconds=in_s)).isoformat()
        return task

    def until_accepted(self, more: int) -> None:
        """Wait until this many more tasks are stored."""
        wanted = len(self.accepted) + more
        wait_until(lambda: len(self.accepted) >= wanted, f"{more} more tasks stored")

    def executions(self) -> Counter[int]:
        """Return the number of executions of each task number."""
        return Counter(map(int, self._ledger.read_text().split()))

    def check(self, server: Server) -> None:
        """Wait until every task has ended; check that all stored tasks completed once."""
        left = (
            "SELECT count(*) FROM taskmaster_tasks_task "
            "WHERE status IN ('pending', 'picked', 'started')"
        )
        try:
            wait_until(lambda: server.ask(left) == [0], "every task has ended")
        except AssertionError as error:
            rows = server.ask(
                "SELECT (id, status, lease, attempt, scheduled_at, picked_at)::text "
                "FROM taskmaster_tasks_task WHERE status IN ('pending', 'picked', 'started') "
                "ORDER BY id LIMIT 20"
            )
            raise AssertionError(f"{error}: {rows}") from None
        complete = set(server.ask("SELECT id FROM taskmaster_tasks_task WHERE status = 'complete'"))
        assert set(self.accepted.values()) <= complete
        assert server.ask(
            "SELECT count(*) FROM taskmaster_tasks_task WHERE status <> 'complete'"
        ) == [0]
        executed = self.executions()
        assert set(executed.values()) == {1}, "executed twice"
        # A task can be stored although its answer was lost, but not the other way round.
        assert set(self.accepted) <= set(executed)


@contextmanager
def running_site(folder: Path, server: Server, **environment: str) -> Iterator[Site]:
    """Run coordinator, worker and web on this server, or on the database in the environment."""
    site = Site(folder, server.token, {"DATABASE_URL": server.url, **environment})
    with ExitStack() as stack:
        stack.callback(site.close)
        site.run_coordinator()
        site.run_worker()
        site.run_web()
        yield site
