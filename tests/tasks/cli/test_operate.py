"""Test `manage.py taskmaster operate`: count, confirm, follow."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks.bulk.runner import run_chunk
from taskmaster.tasks.models import Operation, Task
from tests.factories import stored
from tests.system.fleet import ROOT, environment
from tests.tasks.bulk.sample import in_status, statuses

pytestmark = pytest.mark.django_db(transaction=True)


def run(*text: str) -> str:
    """Run the command and return its output."""
    out = io.StringIO()
    call_command("taskmaster", "operate", *text, stdout=out)
    return out.getvalue()


@contextmanager
def chunks_are_run() -> Iterator[None]:
    """Run chunks in a thread, like a coordinator."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.02):
            run_chunk()
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Terminal:
    """The command on its own terminal."""

    def __init__(self, *text: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "taskmaster", "operate", *text],
            env=environment(),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = ""

    def until(self, text: str) -> None:
        deadline = time.monotonic() + 20
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            self.seen += self._read()

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def end(self) -> int:
        while part := self._read():
            self.seen += part
        os.close(self._ours)
        return self.process.wait(timeout=20)

    def _read(self) -> str:
        try:
            return os.read(self._ours, 65536).decode()
        except OSError:  # The command has exited and closed its end.
            return ""


def test_a_dry_run_prints_the_number_and_stores_nothing() -> None:
    in_status("failed", 2, queue="mail")
    in_status("failed")
    output = run("retry", "--queue", "mail", "--dry-run")
    assert output == "Dry run: would retry 2 tasks.\n"
    output = run("set_priority", "--to-priority", "5", "--dry-run")
    assert output == "Dry run: would give 0 tasks priority 5.\n"
    output = run("retry", "--dry-run", "--json")
    assert json.loads(output) == {"count": 3, "at_least": False}
    assert not Operation.objects.exists()


def test_with_yes_the_operation_runs_and_prints_its_result() -> None:
    ids = in_status("failed", 3, queue="mail")
    with chunks_are_run():
        output = run("retry", "--status", "failed", "--queue", "mail", "--yes")
    assert output == "Retried 3 tasks (queue=mail, status=failed).\n"
    assert statuses(ids) == ["pending"] * 3
    operation = Operation.objects.get()
    assert (operation.user, operation.created_by_id) == ("", None)


def test_every_filter_and_parameter_is_accepted() -> None:
    [one] = in_status("pending", name="shell", queue="slow", tags=["nightly"])
    [other] = in_status("pending", name="shell", queue="slow")
    with chunks_are_run():
        run(
            *("set_queue", "--status", "pending,waiting", "--queue", "slow", "--name", "shell"),
            *("--tag", "nightly", "--to-queue", "fast", "--yes"),
        )
        done = json.loads(
            run("set_priority", "--queue", "fast", "--to-priority", "-3", "--yes", "--json")
        )
    assert (done["state"], done["done"], done["filter"]) == ("complete", 1, {"queue": "fast"})
    assert Task.objects.filter(queue="fast", priority=-3).get().pk == one
    assert Task.objects.get(pk=other).queue == "slow"


@pytest.mark.parametrize(
    ("text", "output"),
    [
        (["explode"], "ACTION: must be one of cancel"),
        (["cancel", "--status", "x"], "--status: Select a valid choice"),
        (["retry", "--status", "started"], "--status: is started, but only failed"),
        (["cancel", "--queue", ""], "--queue: must be a non-empty string"),
        (["set_queue"], "--to-queue: is required with the action set_queue"),
        (
            ["cancel", "--to-priority", "1"],
            "--to-priority: is required with the action set_priority",
        ),
        (["set_priority", "--to-priority", "x"], "--to-priority: "),
        (["set_priority", "--to-priority", "101"], "--to-priority: "),
        # There is no terminal for the confirmation.
        (["cancel"], "--yes: is required"),
    ],
)
def test_an_invalid_request_is_reported_and_changes_nothing(
    text: list[str], output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    ids = stored()
    with pytest.raises(CommandError, match=re.escape(output)):
        run(*text)
    assert run_chunk() is None
    assert statuses(ids) == ["pending"]


def test_asks_with_the_number_and_stops_after_no() -> None:
    ids = stored(3)
    terminal = Terminal("cancel", "--status", "pending")
    terminal.until("Cancel 3 tasks (status=pending)? [y/N] ")
    terminal.type("n\n")
    assert terminal.end() == 1
    assert "no task was changed." in terminal.seen
    assert Operation.objects.get().state == "cancelled"
    assert run_chunk() is None
    assert statuses(ids) == ["pending"] * 3


def test_shows_progress_and_result_after_yes() -> None:
    stored(3)
    terminal = Terminal("cancel")
    terminal.until("Cancel 3 tasks (all)? [y/N] ")
    terminal.type("y\n")
    terminal.until("0 of 3, 0 refused")
    with chunks_are_run():
        assert terminal.end() == 0
    assert "Cancelled 3 tasks (all).\r\n" in terminal.seen


def test_reports_an_operation_that_no_coordinator_runs_and_cancels_it_on_interrupt() -> None:
    ids = stored(1)
    terminal = Terminal("cancel", "--yes")
    terminal.until("No coordinator has started the operation; check that one is running.")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 1
    assert "is cancelled." in terminal.seen
    assert "Traceback" not in terminal.seen
    assert Operation.objects.get().state == "cancelled"
    assert statuses(ids) == ["pending"]


def test_an_interrupted_operation_keeps_its_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = stored(3)
    with psycopg.connect(conninfo()) as other:
        other.execute("SELECT FROM taskmaster_tasks_task WHERE id = %s FOR UPDATE", [ids[2]])
        with chunks_are_run():
            terminal = Terminal("cancel", "--yes")
            terminal.until("2 of 3, 0 refused")
            terminal.process.send_signal(signal.SIGINT)
            assert terminal.end() == 1
    assert "Cancelled 2 tasks (all)." in terminal.seen
    assert statuses(ids) == ["cancelled", "cancelled", "pending"]
