"""Coordinator, worker and web as processes whose logs are kept, and a client that never rests."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from tests.system.fleet import ROOT, end, free_port
from tests.system.server import Server

MODULE = "tests.system.sample_tasks"
#: Generous: the machine may be busy with other tests.
DEADLINE_S = 60.0


def until(holds: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Waits for a condition. Raises AssertionError, which says for what it waited."""
    give_up, pause = time.monotonic() + deadline_s, threading.Event()
    while not holds():
        assert time.monotonic() < give_up, f"not within {deadline_s:.0f} s: {what}"
        pause.wait(0.05)


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
        """`before` stands before the Python that runs the command: where it runs."""
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
        """The log from this byte on."""
        return self.log.read_bytes()[since:].decode(errors="replace")

    def wrote(self, pattern: str, since: int = 0) -> list[str]:
        """The lines in which the pattern is found."""
        return [line for line in self.text(since).splitlines() if re.search(pattern, line)]

    @property
    def size(self) -> int:
        """How long the log is: from where to look later."""
        return self.log.stat().st_size


class Answer(NamedTuple):
    """What the web answered; status 0 when nothing came."""

    status: int
    body: Any


class Site:
    """One of each, on one database."""

    def __init__(self, folder: Path, token: str, environment: dict[str, str]) -> None:
        self.folder = folder
        self.token = token
        self.environment = {"TASKMASTER_TASK_MODULES": MODULE, **environment}
        self.programs: dict[str, Program] = {}
        self.coordinator_port, self.web_port = free_port(), free_port()

    def run(self, name: str, *command: str, **environment: str) -> Program:
        """Starts a program."""
        log = self.folder / f"{name}.log"
        program = Program(command, log, {**self.environment, **environment})
        self.programs[name] = program
        return program

    def run_coordinator(self) -> Program:
        """Starts the coordinator; returns when it is ready."""
        address = ("--port", str(self.coordinator_port))
        program = self.run("coordinator", "manage.py", "runcoordinator", *address)
        until(lambda: program.wrote("coordinator ready"), "the coordinator is ready")
        return program

    def run_worker(self) -> Program:
        """Starts a worker; returns when it is connected."""
        address = f"127.0.0.1:{self.coordinator_port}"
        program = self.run(
            "worker",
            *("manage.py", "runworker", "--coordinator", address, "--name", "heron"),
            *("--pool", "threads", "--concurrency", "8"),
        )
        until(lambda: program.wrote("worker ready"), "the worker is ready")
        return program

    def run_web(self) -> Program:
        """Starts the web process; returns when it answers."""
        port = ("-b", "127.0.0.1", "-p", str(self.web_port))
        program = self.run("web", "-m", "daphne", *port, "taskmaster_site.asgi:application")
        until(lambda: self.get("/healthz").status == 200, "the web answers")
        return program

    def close(self) -> None:
        """Ends all, gracefully."""
        codes = {name: end(each.process) for name, each in reversed(self.programs.items())}
        assert set(codes.values()) == {0}, (codes, self.logs())

    def logs(self) -> str:
        """The logs of all, for a failure."""
        return "\n".join(f"---- {name}\n{each.text()}" for name, each in self.programs.items())

    # ---- the web ----------------------------------------------------------------------------

    def get(self, path: str) -> Answer:
        """GET, with the token."""
        return self._request(path, None)

    def post(self, path: str, body: object) -> Answer:
        """POST of JSON, with the token."""
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
    """Submits a task after the other; each notes its number in a ledger when it is executed."""

    def __init__(self, site: Site, name: str, *, padding: int = 0) -> None:
        self._site = site
        self._padding = padding
        self._numbers = itertools.count(1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed")
        self._ledger = site.folder / f"{name}.ledger"
        self._ledger.touch()
        #: Ids of the tasks that were stored, by number; and how often the web refused.
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
            # Every fifth is claimed ahead, and held for a moment.
            answer = self._site.post("/api/tasks/", self._task(number, 0 if number % 5 else 1))
            if answer.status == 201:
                self.accepted[number] = answer.body["id"]
            else:
                self.refused.append(answer)

    def submit_many(self, count: int, *, in_s: float = 0, lasting_s: float = 0.02) -> None:
        """Submits many at once, to be executed in so many seconds and for so long."""
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
        """Waits until so many more are stored."""
        wanted = len(self.accepted) + more
        until(lambda: len(self.accepted) >= wanted, f"{more} more tasks stored")

    def executions(self) -> Counter[int]:
        """How often each number was executed."""
        return Counter(map(int, self._ledger.read_text().split()))

    def check(self, server: Server) -> None:
        """Waits until nothing is left; then all that were stored are complete, each once."""
        left = "SELECT count(*) FROM tasks_task WHERE status IN ('pending', 'picked', 'started')"
        try:
            until(lambda: server.ask(left) == [0], "every task has ended")
        except AssertionError as error:
            rows = server.ask(
                "SELECT (id, status, lease, attempt, scheduled_at, picked_at)::text FROM tasks_task"
                " WHERE status IN ('pending', 'picked', 'started') ORDER BY id LIMIT 20"
            )
            raise AssertionError(f"{error}: {rows}") from None
        complete = set(server.ask("SELECT id FROM tasks_task WHERE status = 'complete'"))
        assert set(self.accepted.values()) <= complete
        assert server.ask("SELECT count(*) FROM tasks_task WHERE status <> 'complete'") == [0]
        executed = self.executions()
        assert set(executed.values()) == {1}, "executed twice"
        # A submission may be stored although its answer was lost, never the other way round.
        assert set(self.accepted) <= set(executed)


@contextmanager
def running_site(folder: Path, server: Server, **environment: str) -> Iterator[Site]:
    """Coordinator, worker and web on this server, or where the environment says."""
    site = Site(folder, server.token, {"DATABASE_URL": server.url, **environment})
    with ExitStack() as stack:
        stack.callback(site.close)
        site.run_coordinator()
        site.run_worker()
        site.run_web()
        yield site
