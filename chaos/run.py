"""One run from an empty folder to its outcome, in order."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psycopg
from rich.console import Console

from chaos import ledger, records, repeats, report, rescue, roster, verdict
from chaos.faults import Injector
from chaos.fleet import Fleet, fleet
from chaos.hosts import Hosts
from chaos.load import Load
from chaos.progress import Progress, Tally
from chaos.report import Outcome
from chaos.schedule import CUTS, Kind, schedule
from taskmaster_site import demo
from taskmaster_site.postgres import Cluster

#: All are online within this time on a busy machine of two cores.
_READY_S = 90.0
#: Retries of what faults have ended come soon, so that the fleet can drain.
SETTINGS = {
    "TASKMASTER_TASK_MODULES": "chaos.tasks",
    "TASKMASTER_RETRY_CAP_S": "5",
}
_ONLINE = """
    SELECT
        (SELECT count(*) FROM workers_worker WHERE status = 'online'),
        (SELECT count(*) FROM coordinator_coordinator WHERE online)
"""
_TALLY = """
    SELECT count(*), count(*) FILTER (WHERE status IN ('complete', 'failed', 'cancelled'))
    FROM tasks_task
"""


class NotReady(Exception):
    """The fleet did not come up, so there is nothing to disturb."""


@dataclass(frozen=True, slots=True)
class Options:
    """What may be chosen."""

    seconds: int
    seed: int
    #: Tasks a second.
    rate: float
    #: Seconds between two faults, on average.
    every_s: float
    #: How long the fleet may take at the end to finish everything.
    drain_s: float
    #: Only these; a schedule is one of the seed, the seconds, `every_s` and these.
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run happens: its folder, its database, its ports, and a token for the web."""

    folder: Path
    cluster: Cluster
    #: Of PostgreSQL, the same after each restart.
    server: tuple[str, ...]
    url: str
    ports: Mapping[str, int]
    token: str


async def run(options: Options, place: Place, hosts: Hosts, console: Console) -> Outcome:
    """Runs all of it. Raises NotReady."""
    _plug_in(hosts, place.ports)
    all_ = fleet(place.url, hosts, place.ports, place.folder, SETTINGS)
    load = Load(Random(f"load {options.seed}"), options.rate, place.ports[roster.WEB], place.token)
    injector = Injector(all_, hosts, place.cluster, place.server, place.url)
    progress = Progress(console, all_, load, injector, lambda: _tally(place.url))
    running = asyncio.create_task(all_.run(), name="fleet")
    showing = asyncio.create_task(progress.run(), name="progress")
    try:
        progress.phase("starting", _READY_S)
        await _until_ready(place, all_)
        progress.phase("chaos", options.seconds)
        faults = schedule(
            options.seed, options.seconds, every_s=options.every_s, kinds=options.kinds
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run(options.seconds), name="load")
            group.create_task(
                injector.run(f for f in faults if not (hosts.missing and f.kind in CUTS)),
                name="faults",
            )
        progress.phase("draining", options.drain_s)
        drained_s = await _drain(place.url, options.drain_s)
        showing.cancel()
        outcome = _outcome(options, place, hosts, load, injector, all_, drained_s)
        await all_.stop()
        return outcome
    finally:
        for task in (showing, running):
            task.cancel()
        await asyncio.gather(showing, running, return_exceptions=True)
        await all_.abort()


def _plug_in(hosts: Hosts, ports: Mapping[str, int]) -> None:
    """East reaches every coordinator; west reaches PostgreSQL and is reached."""
    west = [ports[each.name] for each in roster.COORDINATORS if each.host == roster.WEST]
    coordinators = [ports[each.name] for each in roster.COORDINATORS]
    hosts.carry(roster.WEST, inward=west, outward=[ports[roster.POSTGRES]])
    hosts.carry(roster.EAST, outward=coordinators)


async def _until_ready(place: Place, all_: Fleet) -> None:
    wanted = (len(roster.WORKERS), len(roster.COORDINATORS))
    try:
        async with asyncio.timeout(_READY_S):
            while await asyncio.to_thread(_ask, place.url, _ONLINE) != wanted or not (
                await demo.web_answers(place.ports[roster.WEB])
            ):
                if all_.deaths:
                    raise NotReady(f"{all_.deaths[0].name} ended: {all_.deaths[0].how}")
                await asyncio.sleep(0.5)
    except TimeoutError:
        raise NotReady(f"the fleet is not ready after {_READY_S:.0f} s") from None


async def _drain(url: str, seconds: float) -> float | None:
    """Waits until every task has ended; how long that took, None when it took too long."""
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        tally = await asyncio.to_thread(_tally, url)
        if tally is not None and tally.ended == tally.stored:
            return round(time.monotonic() - began, 1)
        await asyncio.sleep(0.5)
    return None


def _tally(url: str) -> Tally | None:
    try:
        return Tally(*_ask(url, _TALLY))
    except psycopg.Error:
        return None


def _ask(url: str, query: str) -> tuple[int, ...]:
    with psycopg.connect(url, connect_timeout=5) as connection:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return tuple(row)


def _outcome(
    options: Options,
    place: Place,
    hosts: Hosts,
    load: Load,
    injector: Injector,
    all_: Fleet,
    drained_s: float | None,
) -> Outcome:
    rows = records.rows(place.url)
    history = records.history(place.url, place.ports)
    executions = ledger.read(place.folder / "ledger")
    known = (load.submissions, rows, history)
    outcome = Outcome(
        seed=options.seed,
        seconds=options.seconds,
        verdict=verdict.judge(*known, executions),
        repeats=repeats.explain(*known, executions, injector.injected),
        rescues=rescue.rescues(*known, injector.injected),
        injected=injector.injected,
        skipped=injector.skipped,
        deaths=all_.deaths,
        tracebacks=_tracebacks(place.folder / "logs"),
        no_cuts=hosts.missing,
        unanswered=load.unanswered,
        slowest_submit_s=round(load.slowest_s, 2),
        drained_s=drained_s,
    )
    report.keep(outcome, place.folder / "latest.json")
    report.evidence(outcome, history, executions, place.folder / "evidence.json")
    return outcome


def _tracebacks(folder: Path) -> dict[str, int]:
    counts = {file.stem: file.read_text().count("Traceback (") for file in folder.glob("*.log")}
    return {name: count for name, count in sorted(counts.items()) if count}


def environment(url: str) -> None:
    """Makes this process one of the same installation: it submits, too."""
    os.environ.update(SETTINGS, DATABASE_URL=url, DJANGO_SETTINGS_MODULE="taskmaster_site.settings")
