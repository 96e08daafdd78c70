"""Carry out one run, from an empty folder to its outcome."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psycopg
from rich.console import Console

from chaos import ledger, records, recurring, repeats, report, rescue, roster, verdict
from chaos.faults import FaultInjector
from chaos.fleet import ChaosFleet, fleet
from chaos.hosts import Hosts
from chaos.leftovers import count_daemons
from chaos.load import LoadGenerator
from chaos.progress import ChaosProgress, TaskCounts
from chaos.report import RunOutcome
from chaos.schedule import CUTS, FaultKind, schedule
from taskmaster.taskmaster_site.demo import main as demo
from taskmaster.taskmaster_site.embedded_postgres.server import EmbeddedPostgres

#: All parts are online within this time on a busy machine with two cores.
_READY_S = 90.0
#: The attempts of a killed worker have ended within this time.
_ENDED_S = 10.0
#: Short retry delays, so that the fleet can drain after the faults.
SETTINGS = {
    "TASKMASTER_TASK_MODULES": "chaos.tasks",
    "TASKMASTER_SHELL_TASKS": "on",
    "TASKMASTER_RETRY_CAP_S": "5",
}
_ONLINE = """
    SELECT
        (SELECT count(*) FROM taskmaster_workers_worker WHERE status = 'online'),
        (SELECT count(*) FROM taskmaster_coordinator_coordinator WHERE online)
"""
_TALLY = """
    SELECT
        count(*),
        count(*) FILTER (WHERE status IN ('complete', 'failed', 'cancelled')),
        (SELECT count(*) FROM taskmaster_tasks_schedule WHERE next_due_at IS NOT NULL)
    FROM taskmaster_tasks_task
"""


class NotReady(Exception):
    """Report that the fleet did not become ready."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Hold the options of a run."""

    seconds: int
    seed: int
    #: Tasks per second.
    rate: float
    #: Mean seconds between two faults.
    every_s: float
    #: Time limit for the fleet to finish all tasks at the end.
    drain_s: float
    #: The kinds to inject. Seed, `seconds`, `every_s` and kinds determine the schedule.
    kinds: tuple[FaultKind, ...]


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Hold the folder, database, ports and web token of a run."""

    folder: Path
    cluster: EmbeddedPostgres
    #: Options of PostgreSQL, the same after each restart.
    server: tuple[str, ...]
    url: str
    ports: Mapping[str, int]
    token: str


async def run(options: RunOptions, place: RunPlace, hosts: Hosts, console: Console) -> RunOutcome:
    """Carry out the whole run. Raise NotReady if the fleet does not start."""
    _connect_hosts(hosts, place.ports)
    parts = fleet(place.url, hosts, place.ports, place.folder, SETTINGS)
    load = LoadGenerator(
        Random(f"load {options.seed}"), options.rate, place.ports[roster.WEB], place.token
    )
    injector = FaultInjector(parts, hosts, place.cluster, place.server, place.url)
    progress = ChaosProgress(console, parts, load, injector, lambda: _count_tasks(place.url))
    running = asyncio.create_task(parts.run(), name="fleet")
    showing = asyncio.create_task(progress.run(), name="progress")
    try:
        progress.phase("starting", _READY_S)
        await _until_ready(place, parts)
        progress.phase("chaos", options.seconds)
        faults = schedule(
            options.seed, options.seconds, every_s=options.every_s, kinds=options.kinds
        )
        await asyncio.to_thread(recurring.create, options.seconds)
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run(options.seconds), name="load")
            group.create_task(
                injector.run(f for f in faults if not (hosts.missing and f.kind in CUTS)),
                name="faults",
            )
        progress.phase("draining", options.drain_s)
        drained_s = await _drain(place.url, options.drain_s)
        showing.cancel()
        surviving = await _count_surviving()
        outcome = _outcome(options, place, hosts, load, injector, parts, drained_s, surviving)
        await parts.stop()
        return outcome
    finally:
        for task in (showing, running):
            task.cancel()
        await asyncio.gather(showing, running, return_exceptions=True)
        await parts.abort()


def _connect_hosts(hosts: Hosts, ports: Mapping[str, int]) -> None:
    """Connect the hosts: east to every coordinator, west to PostgreSQL and its clients."""
    west = [ports[each.name] for each in roster.COORDINATORS if each.host == roster.WEST]
    coordinators = [ports[each.name] for each in roster.COORDINATORS]
    hosts.carry(roster.WEST, inward=west, outward=[ports[roster.POSTGRES]])
    hosts.carry(roster.EAST, outward=coordinators)


async def _until_ready(place: RunPlace, parts: ChaosFleet) -> None:
    wanted = (len(roster.WORKERS), len(roster.COORDINATORS))
    try:
        async with asyncio.timeout(_READY_S):
            while await asyncio.to_thread(_query, place.url, _ONLINE) != wanted or not (
                await demo.web_answers(place.ports[roster.WEB])
            ):
                if parts.unexpected_exits:
                    raise NotReady(
                        f"{parts.unexpected_exits[0].name} exited: {parts.unexpected_exits[0].how}"
                    )
                await asyncio.sleep(0.5)
    except TimeoutError:
        raise NotReady(f"the fleet is not ready after {_READY_S:.0f} s") from None


async def _drain(url: str, seconds: float) -> float | None:
    """Wait until every task has ended, and every schedule.

    Return the seconds, or None after the time limit.
    """
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        tally = await asyncio.to_thread(_count_tasks, url)
        if tally is not None and tally.ended == tally.stored and not tally.schedules:
            return round(time.monotonic() - began, 1)
        await asyncio.sleep(0.5)
    return None


async def _count_surviving() -> int:
    """Return the number of daemons of ended tasks that have not ended within the time limit."""
    deadline = time.monotonic() + _ENDED_S
    while (count := await asyncio.to_thread(count_daemons)) and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
    return count


def _count_tasks(url: str) -> TaskCounts | None:
    try:
        return TaskCounts(*_query(url, _TALLY))
    except psycopg.Error:
        return None


def _query(url: str, query: str) -> tuple[int, ...]:
    with psycopg.connect(url, connect_timeout=5) as connection:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return tuple(row)


def _outcome(
    options: RunOptions,
    place: RunPlace,
    hosts: Hosts,
    load: LoadGenerator,
    injector: FaultInjector,
    parts: ChaosFleet,
    drained_s: float | None,
    surviving: int,
) -> RunOutcome:
    rows = records.rows(place.url)
    history = records.history(place.url, place.ports)
    executions = ledger.read(place.folder / "ledger")
    known = (load.submissions, rows, history)
    # The ORM refuses to work in the thread of the event loop.
    with ThreadPoolExecutor(1) as thread:
        recurred = thread.submit(recurring.read).result()
    outcome = RunOutcome(
        seed=options.seed,
        seconds=options.seconds,
        verdict=verdict.judge(*known, executions),
        recurred=recurred,
        repeats=repeats.explain(*known, executions, injector.injected),
        rescues=rescue.rescues(*known, injector.injected),
        injected=injector.injected,
        skipped=injector.skipped,
        unexpected_exits=parts.unexpected_exits,
        tracebacks=_tracebacks(place.folder / "logs"),
        no_cuts_reason=hosts.missing,
        unanswered=load.unanswered,
        slowest_submit_s=round(load.slowest_s, 2),
        drained_s=drained_s,
        surviving=surviving,
    )
    report.write_counts(outcome, place.folder / "latest.json")
    report.write_evidence(outcome, history, executions, place.folder / "evidence.json")
    return outcome


def _tracebacks(folder: Path) -> dict[str, int]:
    counts = {file.stem: file.read_text().count("Traceback (") for file in folder.glob("*.log")}
    return {name: count for name, count in sorted(counts.items()) if count}


def environment(url: str) -> None:
    """Configure this process as part of the same installation, because it also submits."""
    os.environ.update(
        SETTINGS, DATABASE_URL=url, DJANGO_SETTINGS_MODULE="taskmaster.taskmaster_site.settings"
    )
