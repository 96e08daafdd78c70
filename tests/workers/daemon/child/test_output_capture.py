"""Test that output is assigned to the attempt that wrote it."""

from __future__ import annotations

import contextvars
import io
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from taskmaster.workers.daemon import messages
from taskmaster.workers.daemon.child.log_capture import LogCapture
from taskmaster.workers.daemon.child.outbox import ChildOutbox
from taskmaster.workers.daemon.child.output_capture import (
    CapturedAttempt,
    TaskStream,
    context_attempt,
)
from taskmaster.workers.daemon.messages import FromChild, PrintedText


class Supervisor:
    """Receive at the other end of the child's connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._decoder = messages.child_reports()
        connection.setblocking(False)

    def received(self) -> list[FromChild]:
        try:
            return self._decoder.feed(self._connection.recv(1_000_000))
        except BlockingIOError:
            return []


@pytest.fixture
def ends() -> Iterator[tuple[ChildOutbox, Supervisor]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ChildOutbox(theirs), Supervisor(ours)


def in_attempt(number: int, work: Callable[[], object]) -> None:
    """Run `work` as part of an attempt."""

    def body() -> None:
        context_attempt.set(CapturedAttempt(number))
        work()

    contextvars.copy_context().run(body)


def test_whole_lines_leave_immediately_and_the_rest_with_a_flush(
    ends: tuple[ChildOutbox, Supervisor],
) -> None:
    outbox, supervisor = ends
    stream = TaskStream("stdout", outbox, io.StringIO())

    def work() -> None:
        stream.write("half ")
        assert supervisor.received() == []
        stream.write("a line\n")
        assert supervisor.received() == [PrintedText(3, "stdout", "half a line\n")]
        stream.write("rest")
        stream.flush()
        stream.flush()
        assert supervisor.received() == [PrintedText(3, "stdout", "rest")]
        stream.buffer.write("löwe\n".encode())
        assert supervisor.received() == [PrintedText(3, "stdout", "löwe\n")]

    in_attempt(3, work)


def test_concurrent_attempts_do_not_mix_their_lines(ends: tuple[ChildOutbox, Supervisor]) -> None:
    outbox, supervisor = ends
    stream = TaskStream("stdout", outbox, io.StringIO())
    barrier = threading.Barrier(2, timeout=10)

    def work(text: str) -> None:
        stream.write(f"{text} one, ")
        barrier.wait()
        stream.write(f"{text} two\n")

    threads = [
        threading.Thread(target=in_attempt, args=(number, lambda text=text: work(text)))
        for number, text in ((1, "a"), (2, "b"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    received: list[FromChild] = []
    while part := supervisor.received():
        received += part
    assert sorted(received) == [
        PrintedText(1, "stdout", "a one, a two\n"),
        PrintedText(2, "stdout", "b one, b two\n"),
    ]


def test_output_outside_of_an_attempt_goes_to_the_stream_of_the_process(
    ends: tuple[ChildOutbox, Supervisor],
) -> None:
    outbox, supervisor = ends
    real = io.StringIO()
    TaskStream("stdout", outbox, real).write("start-up\n")
    assert real.getvalue() == "start-up\n"
    assert supervisor.received() == []


def test_a_line_without_end_is_sent_in_pieces(ends: tuple[ChildOutbox, Supervisor]) -> None:
    outbox, supervisor = ends
    stream = TaskStream("stderr", outbox, io.StringIO())
    in_attempt(1, lambda: stream.write("x" * 5_000))
    assert supervisor.received() == [PrintedText(1, "stderr", "x" * 5_000)]


def test_log_records_carry_their_level_and_logger(ends: tuple[ChildOutbox, Supervisor]) -> None:
    outbox, supervisor = ends
    record = logging.LogRecord("shop", logging.WARNING, "", 1, "stock is %d", (3,), None)
    in_attempt(9, lambda: LogCapture(outbox).handle(record))
    assert supervisor.received() == [PrintedText(9, "log", "WARNING shop: stock is 3\n")]


def test_a_stream_of_concurrent_tasks_has_what_python_code_expects(
    ends: tuple[ChildOutbox, Supervisor],
) -> None:
    outbox, supervisor = ends
    stream = TaskStream("stdout", outbox, io.StringIO())

    def work() -> None:
        stream.write("before ")
        stream.reconfigure(encoding="utf-8", errors="strict", line_buffering=True)
        assert supervisor.received() == [PrintedText(1, "stdout", "before ")]
        stream.close()
        stream.buffer.close()
        stream.writelines(["still ", "open\n"])
        assert supervisor.received() == [PrintedText(1, "stdout", "still open\n")]

    in_attempt(1, work)
    expected = {name: getattr(sys.__stdout__, name) for name in ("name", "mode", "newlines")}
    assert {name: getattr(stream, name) for name in expected} == expected
    assert (stream.encoding, stream.errors) == ("utf-8", "backslashreplace")
    assert (stream.closed, stream.line_buffering, stream.write_through) == (False, True, False)
    assert (stream.isatty(), stream.writable(), stream.readable()) == (False, True, False)
    assert (stream.buffer.name, stream.buffer.mode) == ("<stdout>", "wb")


def test_a_fork_of_a_task_writes_to_the_stream_of_its_process(
    ends: tuple[ChildOutbox, Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox, supervisor = ends
    real = io.StringIO()
    stream = TaskStream("stdout", outbox, real)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    in_attempt(1, lambda: stream.write("from a fork\n"))
    outbox.send(PrintedText(1, "stdout", "not sent"))
    assert (real.getvalue(), supervisor.received()) == ("from a fork\n", [])
