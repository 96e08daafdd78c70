"""`make chaos`: disturbs a fleet for a while and says what became of its tasks."""

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
from chaos.run import NotReady, Options, Place, environment, run
from chaos.schedule import Kind
from taskmaster_site.postgres import Cluster
from tasks.errors import TaskMasterError

_WIDTH = 110
FOLDER = ROOT / ".data" / "chaos"
#: Durable: what is killed must come back with all that it has acknowledged.
_SERVER = ("fsync=on", "synchronous_commit=on", "full_page_writes=on")


def main() -> int:
    """0 when everything held, 1 when not, 2 when there was no run."""
    # Elsewhere than in a terminal nobody knows the width.
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    # A signal ends this process as Ctrl+C does, and everything is cleared away.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = _options()
    try:
        with _alone(), _database() as place, Hosts((roster.EAST, roster.WEST)) as hosts:
            try:
                outcome = asyncio.run(run(options, place, hosts, console))
            finally:
                kill_marked()
    except (NotReady, TaskMasterError) as error:
        console.print(f"No run: {error}. The logs are in {FOLDER}/logs.", markup=False)
        return 2
    except KeyboardInterrupt:
        return 130
    report.show(outcome, console)
    console.print(f"Kept in {FOLDER}: latest.json, evidence.json, logs, ledger.", markup=False)
    return 0 if outcome.holds else 1


def _options() -> Options:
    parser = ArgumentParser(prog="make chaos", description="Disturb TaskMaster under load.")
    add = parser.add_argument
    add("--seconds", type=int, default=120, help="how long (default: %(default)s)")
    add("--seed", type=int, help="of the schedule (default: a new one)")
    add("--rate", type=float, default=40.0, help="tasks a second (default: %(default)s)")
    add("--every", type=float, default=4.0, help="seconds between faults (default: %(default)s)")
    add("--drain", type=float, default=90.0, help="seconds to finish all (default: %(default)s)")
    add("--kinds", default="", help=f"only these faults, of: {', '.join(Kind)}")
    given = parser.parse_args()
    try:
        kinds = tuple(Kind(each) for each in given.kinds.replace(",", " ").split()) or tuple(Kind)
    except ValueError as error:
        parser.error(f"--kinds: {error}")
    if given.seconds < 1 or given.rate <= 0 or given.every <= 0 or given.drain < 1:
        parser.error("seconds, rate, every and drain must be positive")
    seed = secrets.randbelow(10_000) if given.seed is None else given.seed
    return Options(given.seconds, seed, given.rate, given.every, given.drain, kinds)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """An empty folder, and one run at a time in it; what a killed run has left is cleared away."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with FOLDER.joinpath("lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotReady("another run of this checkout is under way") from None
        kill_marked()
        for name in ("ledger", "logs"):
            shutil.rmtree(FOLDER / name, ignore_errors=True)
            (FOLDER / name).mkdir()
        yield


@contextlib.contextmanager
def _database() -> Iterator[Place]:
    """A new PostgreSQL, migrated, with the history's trigger and a user; gone afterwards."""
    cluster = Cluster(FOLDER / "postgres")
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
        yield Place(FOLDER, cluster, server, url, ports, _token())
    finally:
        _disconnect()
        cluster.remove()


def _token() -> str:
    """Of a user who may do everything."""
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
