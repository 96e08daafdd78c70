"""Measure the resident memory of every process, early and late: it must not grow with the tasks.

All bulks have the same size, so that the same number of tasks is in flight early and late. The same
number of pages is read with each bulk.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

import psutil
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.authtoken.models import Token

from benchmarks import fleet
from benchmarks.drain import drained
from benchmarks.report import Figure
from benchmarks.tasks import noop
from taskmaster.tasks.enqueue import bulk, new

EARLY, LATE = 10_000, 200_000
GROWTH_MAX = 0.05
_BULK = 2_500
#: Pages per bulk, alternating between front page and REST list.
_PAGES = 40
_READERS = 4
#: Delay from the last task to the first reading, and number of readings, one per second.
_SETTLE_S = 3.0
_READINGS = 5


@dataclass(frozen=True, slots=True)
class PageReader:
    """Read pages as a logged-in user."""

    address: str
    headers: Mapping[str, str]

    def read(self, number: int) -> None:
        """Read one page. Raise OSError unless the answer is a 200."""
        path = ("/", "/api/tasks/")[number % 2]
        request = urllib.request.Request(self.address + path, headers=dict(self.headers))
        with urllib.request.urlopen(request, timeout=30) as answer:
            # A redirect would mean that the reader is not logged in.
            assert answer.url == self.address + path, answer.url
            answer.read()


def _reader(address: str) -> PageReader:
    user = User.objects.create_superuser("reader")
    client = Client()
    client.force_login(user)
    session = client.cookies["sessionid"].value
    token = Token.objects.create(user=user)
    return PageReader(
        address, {"Cookie": f"sessionid={session}", "Authorization": f"Token {token.key}"}
    )


def _processes(pids: fleet.Pids, web: int) -> dict[str, list[psutil.Process]]:
    """Return the measured processes by part."""
    [supervisor] = [psutil.Process(pid) for pid in pids.workers]
    [fork_server] = supervisor.children()
    return {
        "supervisor": [supervisor],
        "fork server": [fork_server],
        "child": fork_server.children(),
        "coordinator": [psutil.Process(pids.coordinator)],
        "web": [psutil.Process(web)],
    }


def _measure_memory(processes: Mapping[str, Iterable[psutil.Process]]) -> dict[str, float]:
    """Return the idle memory of each part in MiB."""
    time.sleep(_SETTLE_S)
    readings = []
    for _ in range(_READINGS):
        readings.append(
            {
                name: sum(each.memory_info().rss for each in group) / 2**20
                for name, group in processes.items()
            }
        )
        time.sleep(1)
    return {name: median(reading[name] for reading in readings) for name in processes}


def _run_tasks(tasks: int, reader: PageReader) -> None:
    """Run this number of tasks while pages are read."""
    with ThreadPoolExecutor(_READERS) as readers:
        for _ in range(tasks // _BULK):
            bulk([new(noop)] * _BULK)
            list(readers.map(reader.read, range(_PAGES)))
            fleet.wait_until(drained, "the tasks")


def measure() -> list[Figure]:
    """Return a figure for each kind of process."""
    with fleet.running(1) as pids, fleet.web() as (address, web):
        reader = _reader(address)
        processes = _processes(pids, web)
        _run_tasks(EARLY, reader)
        early = _measure_memory(processes)
        _run_tasks(LATE - EARLY, reader)
        late = _measure_memory(processes)
    return [_figure(name, early[name], late[name]) for name in processes]


def _figure(name: str, early: float, late: float) -> Figure:
    growth = late / early - 1
    return Figure(
        f"memory growth, {name}",
        growth * 100,
        "%",
        f"{early:.1f} MiB resident after {EARLY:,} no-op tasks, {late:.1f} MiB after {LATE:,}; "
        f"worker of 8 threads; {LATE // _BULK * _PAGES:,} pages read by {_READERS} readers",
        target=f"≤ {GROWTH_MAX:.0%}",
        passed=growth <= GROWTH_MAX,
    )
