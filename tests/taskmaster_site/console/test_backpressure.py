"""Limit how fast a WebSocket is read under Daphne."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from taskmaster.taskmaster_site.console import backpressure
from taskmaster.taskmaster_site.console.backpressure import ConsoleBackpressure


class Transport:
    """Record what happens to the connection."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.calls.append("pause")

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.calls.append("resume")

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.calls.append("abort")


class DaphneProtocol:
    """Stand in for Daphne's WebSocket protocol, which queues messages without a limit."""

    def __init__(self) -> None:
        self.maxMessagePayloadSize = 0
        self.transport = Transport()


async def handle(_protocol: DaphneProtocol, _message: Any) -> None:
    """Send a message."""


def under_daphne() -> tuple[asyncio.Queue[Any], DaphneProtocol, ConsoleBackpressure]:
    queue, protocol = asyncio.Queue[Any](), DaphneProtocol()
    return queue, protocol, ConsoleBackpressure(queue.get, partial(handle, protocol))


async def test_reading_pauses_while_many_messages_are_queued() -> None:
    queue, protocol, pressure = under_daphne()
    for number in range(backpressure._QUEUE_MAX + 2):
        queue.put_nowait(number)
    await pressure.receive()
    assert protocol.transport.calls == ["pause"]
    while not queue.empty():
        await pressure.receive()
    assert protocol.transport.calls == ["pause", "resume"]


async def test_messages_have_a_maximum_size() -> None:
    _, protocol, _ = under_daphne()
    assert protocol.maxMessagePayloadSize == 1_048_576


async def test_a_client_that_does_not_close_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backpressure, "_CLOSE_S", 0.02)
    queue, protocol, pressure = under_daphne()
    pressure.stop()
    for number in range(backpressure._QUEUE_MAX + 2):
        queue.put_nowait(number)
    while not queue.empty():
        await pressure.receive()
    assert protocol.transport.calls == ["pause"]
    await asyncio.sleep(0.1)
    assert protocol.transport.calls == ["pause", "abort"]


async def test_another_server_is_left_alone() -> None:
    async def receive() -> Any:
        return "message"

    async def send(_message: Any) -> None:
        """Send a message."""

    pressure = ConsoleBackpressure(receive, send)
    assert await pressure.receive() == "message"
    pressure.stop()
