"""Resident memory of every process, early and late: it must not grow with the tasks that passed.

Tasks come in bulks of the same size throughout, so that what is in flight is as much early as
late, and each bulk comes with as many pages read.
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
from tasks.enqueue import bulk, new

EARLY, LATE = 10_000, 200_000
GROWTH_MAX = 0.05
_BULK = 2_500
#: Front page and REST list, by turns, with each bulk.
_PAGES = 40
_READERS = 4
#: From the last task to the reading, and how many readings a second apart: heartbeats pass.
_SETTLE_S = 3.0
_READINGS = 5


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who may see the pages."""

    address: str
    headers: Mapping[str, str]

    def read(self, number: int) -> None:
        """One page. Raises OSError unless it is answered with 200."""
        path = ("/", "/api/tasks/")[number % 2]
        request = urllib.request.Request(self.address + path, headers=dict(self.headers))
        with urllib.request.urlopen(request, timeout=30) as answer:
            # A reader who is not logged in would be sent elsewhere.
            assert answer.url == self.address + path, answer.url
            answer.read()


def _reader(address: str) -> Reader:
    user = User.objects.create_superuser("reader")
    client = Client()
    client.force_login(user)
    session = client.cookies["sessionid"].value
    token = Token.objects.create(user=user)
    return Reader(
        address, {"Cookie": f"sessionid={session}", "Authorization": f"Token {token.key}"}
    )


def _processes(pids: fleet.Pids, web: int) -> dict[str, list[psutil.Process]]:
    """What there is to weigh."""
    [supervisor] = [psutil.Process(pid) for pid in pids.workers]
    [launcher] = supervisor.children()
    return {
        "supervisor": [supervisor],
        "launcher": [launcher],
        "child": launcher.children(),
        "coordinator": [psutil.Process(pids.coordinator)],
        "web": [psutil.Process(web)],
    }


def _weigh(processes: Mapping[str, Iterable[psutil.Process]]) -> dict[str, float]:
    """MiB of each part, at rest."""
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


def _pass(tasks: int, reader: Reader) -> None:
    """Lets so many tasks pass, and pages be read meanwhile."""
    with ThreadPoolExecutor(_READERS) as readers:
        for _ in range(tasks // _BULK):
            bulk([new(noop)] * _BULK)
            list(readers.map(reader.read, range(_PAGES)))
            fleet.wait_until(drained, "the tasks")


def measure() -> list[Figure]:
    """A figure for each kind of process."""
    with fleet.running(1) as pids, fleet.web() as (address, web):
        reader = _reader(address)
        processes = _processes(pids, web)
        _pass(EARLY, reader)
        early = _weigh(processes)
        _pass(LATE - EARLY, reader)
        late = _weigh(processes)
    return [_figure(name, early[name], late[name]) for name in processes]


def _figure(name: str, early: float, late: float) -> Figure:
    growth = late / early - 1
    return Figure(
        f"memory growth, {name}",
        growth * 100,
        "%",
        f"{early:.1f} MiB resident after {EARLY:,} no-op tasks, {late:.1f} MiB after {LATE:,}; "
        f"worker of 8 threads; {LATE // _BULK * _PAGES:,} pages read by {_READERS} readers",
        wanted=f"≤ {GROWTH_MAX:.0%}",
        holds=growth <= GROWTH_MAX,
    )
