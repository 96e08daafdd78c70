"""Test the messages between supervisor, fork server and children, over real sockets."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from taskmaster.workers.daemon import messages, wire
from taskmaster.workers.daemon.messages import (
    DESCRIPTORS,
    CancelTask,
    CommandExit,
    CommandRefused,
    ForkChild,
    KillProcess,
    LoadFailed,
    ModulesLoaded,
    PrintedText,
    ProcessExit,
    ProcessStarted,
    Raised,
    RunTask,
    StartLauncher,
    StartRefused,
    Succeeded,
)

CONVERSATIONS = [
    (
        messages.child_requests,
        [RunTask(1, "shop.pay", "[1]", "{}", 7, 2, 3, "mail", -5), CancelTask(1)],
    ),
    (
        messages.child_reports,
        [
            PrintedText(1, "stdout", "löwe \N{GRINNING FACE}\n"),
            Succeeded(1, 2, 3, '"done"'),
            Raised(2, 2, 3, "builtins.ValueError", "ValueError: no", "trace", True, 1.5),
            Raised(3, 2, 3, "builtins.ValueError", "ValueError: no", "trace", False, None),
        ],
    ),
    (
        messages.fork_server_requests,
        [
            ForkChild(1, "process", 1, "heron"),
            StartLauncher(2),
            KillProcess(2, 0.5),
        ],
    ),
    (
        messages.fork_server_events,
        [
            ModulesLoaded(["shell", "shop.tasks.send"]),
            LoadFailed("shop.tasks cannot be imported"),
            ProcessStarted(1, 4_711),
            StartRefused(2, "Resource temporarily unavailable", 126),
            ProcessExit(1, -9),
        ],
    ),
    (
        messages.launcher_events,
        [CommandRefused(2, "ls: No such file or directory", 127, False), CommandExit(1, -9, True)],
    ),
]


@pytest.mark.parametrize(("decoder", "sent"), CONVERSATIONS)
def test_messages_arrive_with_their_types_and_values(decoder: Any, sent: list[Any]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(wire.encode(sent) + b"".join(wire.encode([each]) for each in sent))
        ours.shutdown(socket.SHUT_WR)
        receiver, received = decoder(), []
        while data := theirs.recv(50):
            received += receiver.feed(data)
    assert received == sent + sent
    assert list(map(type, received)) == list(map(type, sent + sent))


@pytest.mark.parametrize(("decoder", "sent"), CONVERSATIONS)
def test_a_receiver_decodes_only_the_messages_that_are_sent_to_it(
    decoder: Any, sent: list[Any]
) -> None:
    for other, messages_of_other in CONVERSATIONS:
        if other is not decoder:
            for message in messages_of_other:
                with pytest.raises(wire.BrokenFrame):
                    decoder().feed(wire.encode([message]))


def test_every_request_to_the_fork_server_states_its_descriptors() -> None:
    assert {ForkChild: 3, StartLauncher: 1, KillProcess: 0} == DESCRIPTORS
