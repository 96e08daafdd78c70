"""Test that no valid payload breaks a stream, whatever interface it passes."""

from __future__ import annotations

import http.client
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc
from taskmaster.tasks import registry
from taskmaster.tasks.conf import settings
from taskmaster.tasks.json_rules import MAX_DEPTH
from taskmaster.tasks.models import Task
from taskmaster.tasks.shell_limits import MAX_ARGUMENT
from tests.factories import token_header, user_with
from tests.property.caller import MODULE, NAME, Caller
from tests.system.fleet import database_url
from tests.system.programs import Site
from tests.tasks.api.people import ALL
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

#: Set both to search longer, or to repeat a failure.
SUBMISSIONS = int(os.environ.get("TASKMASTER_FUZZ_SUBMISSIONS", "60"))
SEED = int(os.environ.get("TASKMASTER_FUZZ_SEED", "0")) or random.randrange(1, 2**31)
#: Characters that take one to twelve bytes in some encoding or escape.
CHARACTERS = (
    "x", "\x01", "\x1b", "\x7f", "\x85", "\\", '"', "<", "ü", "\u2028", "漢", "\ufeff",
    "\U0001f600",
)  # fmt: skip
SPECIAL = (
    None, True, "", [], {}, 0, -0.0, 1e16, 5e-324, 1.7e308, 2**53 + 1, -(2**63), 10**4_000,
    "\\u0000", {"": {"": []}}, {"zeta": 1, "alpha": 2},
)  # fmt: skip


class Payloads:
    """Random values that a submission may have, many of them as large or deep as allowed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        # The lists, names and keys around a value take some bytes, too.
        self._largest = settings().args_max_bytes - 100

    def value(self) -> object:
        make = self._random.choice(
            (self._special, self._text, self._list, self._nested, self._keys)
        )
        return make()

    def text(self, most: int) -> str:
        """Return a text that takes up to this number of bytes as JSON."""
        character = self._random.choice(CHARACTERS)
        each = len(json.dumps(character, ensure_ascii=False).encode()) - 2
        return character * (self._size(most) // each)

    def choose(self, choices: Any) -> Any:
        return self._random.choice(choices)

    def _size(self, most: int) -> int:
        # One of eight is as large as allowed.
        return min(most, self._random.choice((1, 10, 100, 1_000, 10_000, 65_536, 131_071, most)))

    def _special(self) -> object:
        return self._random.choice(SPECIAL)

    def _text(self) -> object:
        return self.text(self._largest)

    def _list(self) -> object:
        value = self._random.choice((1e300, -0.0, [], {}, "", True))
        return [value] * (self._size(self._largest) // (len(json.dumps(value)) + 1))

    def _nested(self) -> object:
        value: object = self._special()
        while isinstance(value, list | dict):
            value = self._special()
        # One level is the list or object of all arguments.
        for _ in range(self._random.choice((10, MAX_DEPTH - 1))):
            value = [value] if self._random.random() < 0.5 else {self.text(20): value}
        return value

    def _keys(self) -> object:
        return {f"{n}{self.text(20)}": n for n in range(self._size(2_000), 0, -1)}


class Reader:
    """Read the stream of all events in a thread."""

    def __init__(self, site: Site) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", site.web_port)
        headers = {"Authorization": f"Token {site.token}", "Accept": "text/event-stream"}
        self._connection.request("GET", "/api/logs/stream", headers=headers)
        self._response = self._connection.getresponse()
        assert self._response.status == 200, self._response.read()
        self.ended = False
        self.messages = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with suppress(OSError, ValueError, http.client.HTTPException):
            for line in self._response:
                if line.startswith(b"data: {"):
                    json.loads(line[5:])
                    self.messages += 1
        self.ended = True


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Run a fleet on the test database: coordinator, web, and two workers."""
    monkeypatch.setenv("TASKMASTER_TASK_MODULES", MODULE)
    registry.load.cache_clear()
    token = token_header(user_with(*ALL, "taskmaster_tasks.view_event"))["Authorization"].split()[1]
    site = Site(tmp_path, token, {"DATABASE_URL": database_url()})
    try:
        site.run_coordinator()
        site.run_worker()
        address = f"127.0.0.1:{site.coordinator_port}"
        options = ("--coordinator", address, "--name", "egret", "--concurrency", "2")
        other = site.run("processes", "manage.py", "runworker", *options)
        site.run_web()
        wait_until(lambda: other.wrote("worker ready"), "the second worker is ready")
        yield site
    finally:
        site.close()
        monkeypatch.undo()
        registry.load.cache_clear()


def submit(site: Site, payloads: Payloads, stub: rpc.TaskServiceStub) -> dict[int, object]:
    """Submit random tasks. Return the expected results by id; Ellipsis for a failure."""
    caller = Caller()
    metadata = (("authorization", f"Token {site.token}"),)

    def by_http(name: str, args: list[Any], kwargs: dict[str, Any]) -> int:
        task = {"name": name, "args": args, "kwargs": kwargs, "max_attempts": 1}
        single = payloads.choose((True, False))
        path, body = ("", task) if single else ("bulk/", {"tasks": [task]})
        answer = site.post(f"/api/tasks/{path}", body)
        assert answer.status == 201, answer
        return int(answer.body["id"] if single else answer.body["ids"][0])

    def by_grpc(name: str, args: list[Any], kwargs: dict[str, Any]) -> int:
        texts = {"args_json": json.dumps(args), "kwargs_json": json.dumps(kwargs)}
        task = pb.SubmitTaskRequest(name=name, max_attempts=1, **texts)
        if payloads.choose((True, False)):
            return int(stub.SubmitTask(task, metadata=metadata).task_id)
        many = iter([pb.SubmitTasksRequest(tasks=[task])])
        return int(stub.SubmitTasks(many, metadata=metadata).task_ids[0])

    in_process: list[Callable[[list[Any], dict[str, Any]], int]] = [
        caller.by_enqueue,
        caller.by_bulk,
        caller.by_command_line,
        caller.by_admin,
        caller.by_form,
    ]
    expected: dict[int, object] = {}
    for _ in range(SUBMISSIONS):
        wire, kind = payloads.choose((by_http, by_grpc)), payloads.choose(range(8))
        if kind == 0:
            text = payloads.text(500_000)
            expected[wire(f"{MODULE}.print_and_fail", [text], {})] = ...
        elif kind == 1:
            # The command gets the bytes of the text, which are fewer than those of its JSON.
            command = ["printf", "%s", payloads.text(MAX_ARGUMENT)]
            expected[wire("shell", [], {"command": command})] = {"exit_code": 0}
        else:
            value = payloads.value()
            call = payloads.choose((([value], {}), ([], {"value": value})))
            if kind % 2:
                expected[wire(NAME, *call)] = value
            else:
                expected[payloads.choose(in_process)(*call)] = value
    return expected


def broken_streams(site: Site, readers: list[Reader]) -> list[str]:
    """Return what the logs and the readers know of streams that broke."""
    rejoined = site.programs["coordinator"].wrote("worker joined")[2:]
    lines = [
        line
        for program in site.programs.values()
        for line in program.wrote(r"Traceback| (WARNING|ERROR|CRITICAL) ")
        # A machine under load may stop a process for a while.
        if "stalled" not in line and "the event loop was" not in line
    ]
    return rejoined + lines + ["a reader lost its stream"] * sum(each.ended for each in readers)


def test_no_valid_payload_breaks_a_stream(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    readers = [Reader(site) for _ in range(2)]
    began = time.monotonic()
    with grpc.insecure_channel(f"127.0.0.1:{site.coordinator_port}") as channel:
        expected = submit(site, Payloads(SEED), rpc.TaskServiceStub(channel))
    running = Task.objects.exclude(status__in=["complete", "failed"])
    try:
        wait_until(lambda: not running.exists(), "all tasks have ended", 60 + SUBMISSIONS / 10)
    finally:
        broken = broken_streams(site, readers)
        with capsys.disabled():
            print(
                f"\n{len(expected)} payloads (seed {SEED}) in {time.monotonic() - began:.1f} s: "
                f"{len(broken)} broken streams, {sum(each.messages for each in readers)} messages"
            )
    assert not broken, broken
    for task in Task.objects.filter(pk__in=expected):
        # The representation is too long for a message, and so is a difference.
        outcome = ... if task.status == "failed" else task.result
        assert repr(outcome) == repr(expected[task.pk]), (SEED, task.pk, task.name, task.errors)
        assert (task.attempt, len(task.errors)) == (1, int(outcome is ...))
