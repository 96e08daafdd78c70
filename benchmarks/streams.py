"""Measure a thousand readers of one web process: delays and costs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import quantiles

import psutil
from django.contrib.auth import get_user_model
from django.db import connection
from rest_framework.authtoken.models import Token

from benchmarks import fleet
from benchmarks.report import Figure
from benchmarks.sse import Stream
from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.tasks.store import sync_store as store

CLIENTS = 1_000
EVENTS = 60
_EVERY_S = 0.2
#: Clients that connect concurrently, like browsers after a restart of the server.
_CONCURRENT_CONNECTS = 100
NEVER_READ = 10
_PATH = "/api/logs/stream"
_P99_MS = 400.0


def measure() -> list[Figure]:
    """Return the figures of a crowd, and of clients that never read."""
    with fleet.web() as (address, pid):
        port, headers = int(address.rsplit(":", 1)[1]), _headers()
        return [
            *asyncio.run(_crowd(port, psutil.Process(pid), headers)),
            *asyncio.run(_never_read(port, psutil.Process(pid), headers)),
        ]


def _headers() -> dict[str, str]:
    user = get_user_model().objects.create_superuser(f"reader-{time.time_ns()}")
    return {"Authorization": f"Token {Token.objects.create(user=user).key}"}


@dataclass(slots=True)
class Cost:
    """Hold the resources that a web process uses."""

    threads: int
    sessions: int
    rss_mb: float
    streams: int

    @classmethod
    def of(cls, web: psutil.Process) -> Cost:
        """Measure them now."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            )
            sessions = cursor.fetchone()[0]
        return cls(web.num_threads(), sessions, web.memory_info().rss / 2**20, _streams(web))


def _streams(web: psutil.Process) -> int:
    """Return the number of connections that the web process has accepted and not closed."""
    sockets = web.net_connections("tcp")
    [port] = {each.laddr.port for each in sockets if each.status == psutil.CONN_LISTEN}
    return sum(
        each.laddr.port == port for each in sockets if each.status == psutil.CONN_ESTABLISHED
    )


@dataclass(slots=True)
class StreamReader:
    """Collect the messages of one client, and their times."""

    received: list[tuple[int, float]] = field(default_factory=list)

    async def read(self, stream: Stream) -> None:
        """Read until cancelled."""
        async for message in stream:
            if message.event == "events":
                now = time.monotonic()
                self.received += [(each["id"], now) for each in message.json()["events"]]


class Publisher(threading.Thread):
    """Publish one event per interval, like a coordinator, and record the times."""

    def __init__(self, count: int, every_s: float, text: str = "in 2 ms") -> None:
        super().__init__()
        self._count, self._every_s, self._text = count, every_s, text
        self.sent: dict[int, float] = {}

    def run(self) -> None:
        """Publish all events."""
        try:
            for number in range(self._count):
                event = NewEvent(
                    EventKind.COMPLETE, self._text, number + 1, "benchmarks.tasks.noop"
                )
                began = time.monotonic()
                self.sent[store.publish_events([event])] = began
                time.sleep(self._every_s)
        finally:
            connection.close()


async def _open(port: int, count: int, headers: dict[str, str]) -> list[Stream]:
    streams: list[Stream] = []
    while len(streams) < count:
        some = min(_CONCURRENT_CONNECTS, count - len(streams))
        streams += await asyncio.gather(*(Stream.open(port, _PATH, headers) for _ in range(some)))
    return streams


async def _publish(publisher: Publisher) -> None:
    publisher.start()
    await asyncio.to_thread(publisher.join)


async def _until(condition: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(fleet.wait_until, condition, what)


async def _crowd(port: int, web: psutil.Process, headers: dict[str, str]) -> list[Figure]:
    # The first stream starts the shared live part, which the other streams do not pay for.
    first = await Stream.open(port, _PATH, headers)
    await first.next("stream-open")
    before = await asyncio.to_thread(Cost.of, web)
    streams, readers = await _open(port, CLIENTS, headers), [StreamReader() for _ in range(CLIENTS)]
    reading = [
        asyncio.create_task(reader.read(stream))
        for reader, stream in zip(readers, streams, strict=True)
    ]
    await asyncio.sleep(2)
    publisher, cpu = Publisher(EVENTS, _EVERY_S), sum(web.cpu_times()[:2])
    began = time.monotonic()
    await _publish(publisher)
    await asyncio.sleep(2)
    share = (sum(web.cpu_times()[:2]) - cpu) / (time.monotonic() - began)
    during = await asyncio.to_thread(Cost.of, web)
    for task, stream in zip(reading, streams, strict=True):
        task.cancel()
        stream.close()
    await asyncio.gather(*reading, return_exceptions=True)
    await _until(lambda: _streams(web) <= before.streams, "the streams' ends")
    after = await asyncio.to_thread(Cost.of, web)
    first.close()
    return _crowd_figures(readers, publisher, share, before, during, after)


def _crowd_figures(
    readers: list[StreamReader],
    publisher: Publisher,
    cpu: float,
    before: Cost,
    during: Cost,
    after: Cost,
) -> list[Figure]:
    ids = sorted(publisher.sent)
    whole = sum([pk for pk, _ in reader.received if pk >= ids[0]] == ids for reader in readers)
    waits = [
        (at - publisher.sent[pk]) * 1_000
        for reader in readers
        for pk, at in reader.received
        if pk in publisher.sent
    ]
    cuts = quantiles(waits, n=100, method="inclusive")
    conditions = (
        f"{len(readers):,} clients of one daphne, {len(ids)} events, one every "
        f"{_EVERY_S * 1_000:.0f} ms; clients and server share the machine; "
        f"web at {cpu:.0%} of a core"
    )
    more = during.threads - before.threads
    sessions = during.sessions - before.sessions
    return [
        Figure(
            "clients that received every event, in order", whole, "clients", conditions,
            target=f"= {len(readers):,}", passed=whole == len(readers),
        ),
        Figure("NOTIFY to client, p50", cuts[49], "ms", conditions),
        Figure(
            "NOTIFY to client, p99", cuts[98], "ms", conditions,
            target=f"≤ {_P99_MS:.0f} ms", passed=cuts[98] <= _P99_MS,
        ),
        Figure(
            "threads for the clients", more, "threads", f"{during.threads} in all",
            target="≤ 2", passed=more <= 2,
        ),
        Figure(
            "database sessions for the clients", sessions, "sessions",
            f"{during.sessions} on the server; the pool of the process, whose requests let the "
            "clients in", target="≤ 8", passed=sessions <= 8,
        ),
        Figure(
            "memory of a client", (during.rss_mb - before.rss_mb) * 1_024 / len(readers), "kB",
            f"{before.rss_mb:.0f} MB resident before, {during.rss_mb:.0f} MB with all, "
            f"{after.rss_mb:.0f} MB when they had left",
        ),
        Figure(
            "streams left after all clients closed", after.streams - before.streams, "streams",
            f"of {during.streams:,}", target="= 0", passed=after.streams == before.streams,
        ),
    ]  # fmt: skip


async def _never_read(port: int, web: psutil.Process, headers: dict[str, str]) -> list[Figure]:
    """Measure ten clients that never read, beside fifty that do, while many events are sent."""
    quiet = await _open(port, NEVER_READ, headers)
    streams, readers = await _open(port, 50, headers), [StreamReader() for _ in range(50)]
    reading = [
        asyncio.create_task(reader.read(stream))
        for reader, stream in zip(readers, streams, strict=True)
    ]
    await asyncio.sleep(1)
    before = (await asyncio.to_thread(Cost.of, web)).rss_mb
    publisher = Publisher(6_000, 0.002, "x" * 300)
    await _publish(publisher)
    await asyncio.sleep(12)
    after = await asyncio.to_thread(Cost.of, web)
    for task, stream in zip(reading, streams, strict=True):
        task.cancel()
        stream.close()
    await asyncio.gather(*reading, return_exceptions=True)
    for stream in quiet:
        stream.close()
    ids = sorted(publisher.sent)
    waits = [
        (at - publisher.sent[pk]) * 1_000 for x in readers for pk, at in x.received if pk in ids
    ]
    p99 = quantiles(waits, n=100, method="inclusive")[98]
    whole = sum([pk for pk, _ in reader.received if pk >= ids[0]] == ids for reader in readers)
    conditions = (
        f"{NEVER_READ} clients that never read beside 50 that do, {len(ids):,} events of 0.5 kB"
    )
    return [
        Figure("other readers that received every event", whole, "clients", conditions,
               target="= 50", passed=whole == 50),
        Figure("NOTIFY to the other readers, p99", p99, "ms", conditions,
               target=f"≤ {_P99_MS:.0f} ms", passed=p99 <= _P99_MS),
        Figure("memory for the clients that never read", after.rss_mb - before, "MB", conditions,
               target="≤ 20 MB", passed=after.rss_mb - before <= 20),
    ]  # fmt: skip
