"""`manage.py taskmaster operate`: counted, asked, watched to its end."""

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

from coordinator.database import conninfo
from tasks.bulk.chunk import run_chunk
from tasks.models import Operation, Task
from tests.system.fleet import ROOT, environment
from tests.tasks.bulk.sample import in_status, statuses
from tests.tasks.sample import stored

pytestmark = pytest.mark.django_db(transaction=True)


def run(*words: str) -> str:
    """What the command prints."""
    out = io.StringIO()
    call_command("taskmaster", "operate", *words, stdout=out)
    return out.getvalue()


@contextmanager
def chunks_are_run() -> Iterator[None]:
    """What a coordinator does, in a thread."""
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
    """The command on a terminal of its own."""

    def __init__(self, *words: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "taskmaster", "operate", *words],
            env=environment(),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = ""

    def until(self, words: str) -> None:
        deadline = time.monotonic() + 20
        while words not in self.seen:
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
        except OSError:  # Nobody is at the other end any more.
            return ""


def test_a_dry_run_says_the_number_and_stores_nothing() -> None:
    in_status("failed", 2, queue="mail")
    in_status("failed")
    said = run("retry", "--queue", "mail", "--dry-run")
    assert said == "It would retry 2 tasks; nothing is changed.\n"
    said = run("set_priority", "--to-priority", "5", "--dry-run")
    assert said == "It would give 0 tasks priority 5; nothing is changed.\n"
    said = run("retry", "--dry-run", "--json")
    assert json.loads(said) == {"count": 3, "at_least": False}
    assert not Operation.objects.exists()


def test_with_yes_it_is_done_and_told() -> None:
    ids = in_status("failed", 3, queue="mail")
    with chunks_are_run():
        said = run("retry", "--status", "failed", "--queue", "mail", "--yes")
    assert said == "Retried 3 tasks (queue=mail, status=failed).\n"
    assert statuses(ids) == ["pending"] * 3
    operation = Operation.objects.get()
    assert (operation.user, operation.created_by_id) == ("", None)


def test_every_filter_and_parameter_is_taken() -> None:
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
    ("words", "said"),
    [
        (["explode"], "ACTION: must be one of cancel"),
        (["cancel", "--status", "x"], "--status: Select a valid choice"),
        (["retry", "--status", "started"], "--status: is started, but only failed"),
        (["cancel", "--queue", ""], "--queue: must be text, not empty"),
        (["set_queue"], "--to-queue: goes with set_queue, which needs it"),
        (["cancel", "--to-priority", "1"], "--to-priority: goes with set_priority"),
        (["set_priority", "--to-priority", "x"], "--to-priority: "),
        (["set_priority", "--to-priority", "101"], "--to-priority: "),
        # Nobody is there to be asked.
        (["cancel"], "--yes: is needed"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_done(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    ids = stored()
    with pytest.raises(CommandError, match=re.escape(said)):
        run(*words)
    assert run_chunk() is None
    assert statuses(ids) == ["pending"]


def test_it_asks_with_the_number_and_takes_no_for_an_answer() -> None:
    ids = stored(3)
    terminal = Terminal("cancel", "--status", "pending")
    terminal.until("Cancel 3 tasks (status=pending)? [y/N] ")
    terminal.type("n\n")
    assert terminal.end() == 1
    assert "Nothing is changed." in terminal.seen
    assert Operation.objects.get().state == "cancelled"
    assert run_chunk() is None
    assert statuses(ids) == ["pending"] * 3


def test_after_a_yes_it_shows_how_far_it_is_and_how_it_ended() -> None:
    stored(3)
    terminal = Terminal("cancel")
    terminal.until("Cancel 3 tasks (all)? [y/N] ")
    terminal.type("y\n")
    terminal.until("0 of 3, 0 refused")
    with chunks_are_run():
        assert terminal.end() == 0
    assert "Cancelled 3 tasks (all).\r\n" in terminal.seen


def test_it_says_when_nobody_begins_and_is_cancelled_with_an_interrupt() -> None:
    ids = stored(1)
    terminal = Terminal("cancel", "--yes")
    terminal.until("No coordinator has begun it; is one running?")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 1
    assert "is cancelled." in terminal.seen
    assert "Traceback" not in terminal.seen
    assert Operation.objects.get().state == "cancelled"
    assert statuses(ids) == ["pending"]


def test_an_interrupted_operation_keeps_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = stored(3)
    with psycopg.connect(conninfo()) as other:
        other.execute("SELECT FROM tasks_task WHERE id = %s FOR UPDATE", [ids[2]])
        with chunks_are_run():
            terminal = Terminal("cancel", "--yes")
            terminal.until("2 of 3, 0 refused")
            terminal.process.send_signal(signal.SIGINT)
            assert terminal.end() == 1
    assert "Cancelled 2 tasks (all)." in terminal.seen
    assert statuses(ids) == ["cancelled", "cancelled", "pending"]
