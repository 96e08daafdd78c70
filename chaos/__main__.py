"""Inject faults into a fleet under load and report what happened to its tasks: `make chaos`."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import secrets
import shutil
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Iterator

from rich.console import Console

from chaos import records, report, roster
from chaos.fleet import free_ports
from chaos.hosts import Hosts
from chaos.leftovers import ROOT, kill_marked
from chaos.run import NotReady, RunOptions, RunPlace, environment, run
from chaos.schedule import FaultKind
from taskmaster.taskmaster_site.embedded_postgres.server import EmbeddedPostgres
from taskmaster.tasks.errors import TaskMasterError

_WIDTH = 110
FOLDER = ROOT / ".data" / "chaos"
#: Durable: PostgreSQL must keep every acknowledged commit when it is killed.
_SERVER = ("fsync=on", "synchronous_commit=on", "full_page_writes=on")


def main() -> int:
    """Return 0 if every check passed, 1 if not, 2 if the run could not start."""
    # Without a terminal the width is unknown.
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    # SIGTERM ends this process like Ctrl+C, so that the cleanup runs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = _options()
    try:
        with _exclusive_folder(), _database() as place, Hosts((roster.EAST, roster.WEST)) as hosts:
            try:
                outcome = asyncio.run(run(options, place, hosts, console))
            finally:
                kill_marked()
    except (NotReady, TaskMasterError) as error:
        console.print(
            f"The run did not start: {error}. The logs are in {FOLDER}/logs.", markup=False
        )
        return 2
    except KeyboardInterrupt:
        return 130
    report.show(outcome, console)
    console.print(
        f"Results are in {FOLDER}: latest.json, evidence.json, logs, ledger.", markup=False
    )
    return 0 if outcome.passed else 1


def _options() -> RunOptions:
    parser = ArgumentParser(
        prog="make chaos", description="Inject faults into TaskMaster under load."
    )
    add = parser.add_argument
    add(
        "--seconds",
        type=int,
        default=120,
        help="duration of the run in seconds (default: %(default)s)",
    )
    add("--seed", type=int, help="seed of the fault schedule (default: random)")
    add("--rate", type=float, default=40.0, help="tasks per second (default: %(default)s)")
    add("--every", type=float, default=4.0, help="seconds between faults (default: %(default)s)")
    add(
        "--drain",
        type=float,
        default=90.0,
        help="seconds to finish all tasks (default: %(default)s)",
    )
    add("--kinds", default="", help=f"inject only these faults; known: {', '.join(FaultKind)}")
    given = parser.parse_args()
    try:
        kinds = tuple(FaultKind(each) for each in given.kinds.replace(",", " ").split()) or tuple(
            FaultKind
        )
    except ValueError as error:
        parser.error(f"--kinds: {error}")
    if given.seconds < 1 or given.rate <= 0 or given.every <= 0 or given.drain < 1:
        parser.error("--seconds, --rate, --every and --drain must be positive")
    seed = secrets.randbelow(10_000) if given.seed is None else given.seed
    return RunOptions(given.seconds, seed, given.rate, given.every, given.drain, kinds)


@contextlib.contextmanager
def _exclusive_folder() -> Iterator[None]:
    """Lock an empty folder for this run, and kill the processes that a killed run left."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with FOLDER.joinpath("lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotReady("another run of this checkout is in progress") from None
        kill_marked()
        for name in ("ledger", "logs"):
            shutil.rmtree(FOLDER / name, ignore_errors=True)
            (FOLDER / name).mkdir()
        yield


@contextlib.contextmanager
def _database() -> Iterator[RunPlace]:
    """Yield a new, migrated PostgreSQL with the history trigger; remove it afterwards."""
    cluster = EmbeddedPostgres(FOLDER / "postgres")
    cluster.remove()
    names = [roster.WEB, roster.POSTGRES, *(each.name for each in roster.COORDINATORS)]
    ports = free_ports(names)
    server = (*_SERVER, f"port={ports[roster.POSTGRES]}")
    try:
        url = cluster.start(server)
        environment(url)
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        records.install(url)
        yield RunPlace(FOLDER, cluster, server, url, ports, _token())
    finally:
        _disconnect()
        cluster.remove()


def _token() -> str:
    """Create a superuser and return its API token."""
    from django.contrib.auth import get_user_model
    from rest_framework.authtoken.models import Token

    user = get_user_model().objects.create_superuser("chaos", password=secrets.token_urlsafe(16))
    return str(Token.objects.create(user=user).key)


def _disconnect() -> None:
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
