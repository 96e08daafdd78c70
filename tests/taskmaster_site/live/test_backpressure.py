"""Wait for a slow client of a stream, then drop it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from taskmaster.taskmaster_site.live import backpressure
from taskmaster.taskmaster_site.live.backpressure import Backpressure

BODY = {"type": "http.response.body", "body": b"x", "more_body": True}


class Transport:
    def __init__(self) -> None:
        self.aborted = False

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.aborted = True


class TwistedRequest:
    """Stand in for the Twisted request under Daphne, whose buffer has a limit."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.transport = Transport()
        self.channel: object | None = object()
        self.producer: Any = None

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: N802 - Twisted's
        assert streaming
        assert self.channel is not None
        self.producer = producer

    def unregisterProducer(self) -> None:  # noqa: N802 - Twisted's name
        self.producer = None


async def handle(request: TwistedRequest, message: dict[str, Any]) -> None:
    request.sent.append(message)


async def test_a_full_buffer_delays_the_next_message() -> None:
    request = TwistedRequest()
    pressure = Backpressure(partial(handle, request))
    await pressure.send(BODY)
    request.producer.pauseProducing()
    sending = asyncio.create_task(pressure.send(BODY))
    await asyncio.sleep(0.05)
    assert len(request.sent) == 1
    request.producer.resumeProducing()
    await sending
    assert len(request.sent) == 2


async def test_a_client_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backpressure, "SLOW_S", 0.05)
    request = TwistedRequest()
    pressure = Backpressure(partial(handle, request))
    request.producer.pauseProducing()
    with pytest.raises(TimeoutError):
        await pressure.send(BODY)
    pressure.drop()
    assert request.transport.aborted
    pressure.close()
    assert request.producer is None


async def test_a_client_that_has_disconnected_already_gets_no_producer() -> None:
    request = TwistedRequest()
    request.channel = None
    pressure = Backpressure(partial(handle, request))
    await pressure.send(BODY)
    pressure.close()
    assert request.producer is None


async def test_a_server_whose_send_waits_needs_no_producer() -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    pressure = Backpressure(send)
    await pressure.send(BODY)
    pressure.drop()
    pressure.close()
    assert sent == [BODY]
