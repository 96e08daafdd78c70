"""Prepare, supervise and stop the database of `make demo`."""

from __future__ import annotations

import asyncio
import os
import sys

import psycopg
from django.db import OperationalError
from psycopg.sql import SQL, Identifier

from taskmaster.taskmaster_site.database import unavailable_message
from taskmaster.taskmaster_site.demo.run_mark import RunMark, runs_folder
from taskmaster.taskmaster_site.embedded_postgres import server, unprivileged
from taskmaster.tasks.errors import ConfigurationError, TaskMasterError
from taskmaster.tasks.statements import advisory_key

_CHECK_S = 1.0
#: Pause between a failed start and the next one, in seconds.
_RETRY_S = 3.0
#: Note in the mark of a run that started the embedded server.
_STARTED_SERVER = "postgres"


class DemoDatabase:
    """Manage the embedded PostgreSQL of this checkout, or use the server of DATABASE_URL."""

    def __init__(self, mark: RunMark | None = None) -> None:
        self._mark = mark
        self._cluster = None if os.environ.get("DATABASE_URL") else server.default()
        self._port = 0
        #: Whether this process started the server, and therefore stops it.
        self._started = False

    def prepare(self) -> None:
        """Start the embedded server if it is used, and migrate the database."""
        if self._cluster is not None:
            self._start(self._cluster)
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskmaster.taskmaster_site.settings")
        import django
        from django.core.management import call_command

        django.setup()
        print("Migrating the database …", flush=True)
        with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
            # Two demos may start on the same data. The lock ends with this transaction.
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [advisory_key("migrate")])
            call_command("migrate", verbosity=0)

    def _start(self, cluster: server.EmbeddedPostgres) -> None:
        if cluster.url() is None:
            self._record_start()
            print("Starting the embedded PostgreSQL …", flush=True)
            for folder, home in unprivileged.abandoned_homes():
                print(
                    f"{folder} contains the database of {home}, which does not exist. Delete the "
                    "folder if that checkout was deleted and not moved.",
                    flush=True,
                )
        url = cluster.start()
        os.environ["DATABASE_URL"] = url
        self._port = int(str(psycopg.conninfo.conninfo_to_dict(url)["port"]))
        if recreate_old_layout(url):
            print(
                f"The database in {cluster.home} was created by an older version with different "
                "table names. It was deleted and recreated without its data.",
                flush=True,
            )

    async def supervise(self) -> None:
        """Restart the embedded server on the same port when it ends. Runs until cancelled."""
        if self._cluster is None:
            return
        while True:
            await asyncio.sleep(_CHECK_S)
            if self._cluster.runs():
                continue
            # Check again after a pause, because `pg_ctl restart` also ends the server for a moment.
            await asyncio.sleep(_CHECK_S)
            if not self._cluster.runs():
                await self._restart(self._cluster)

    async def _restart(self, cluster: server.EmbeddedPostgres) -> None:
        print("The embedded PostgreSQL ended; restarting it.", flush=True)
        self._record_start()
        try:
            await asyncio.to_thread(cluster.start, port=self._port)
        except ConfigurationError as error:
            print(error, flush=True)
            await asyncio.sleep(_RETRY_S)

    def _record_start(self) -> None:
        if self._mark is not None and not self._started:
            self._mark.add_note(_STARTED_SERVER)
        self._started = True

    def stop(self) -> None:
        """Stop the embedded server if this process started it."""
        if self._cluster is not None and self._started:
            try:
                self._cluster.stop()
            except ConfigurationError as error:
                print(f"The embedded PostgreSQL could not be stopped: {error}", flush=True)


def print_error(error: Exception) -> int:
    """Print an expected error in one line and return the exit code. Raises any other error."""
    if isinstance(error, TaskMasterError):
        print(error, file=sys.stderr)
    elif isinstance(error, OperationalError):
        print(unavailable_message(error), file=sys.stderr)
    else:
        raise error
    return 1


async def end_abandoned() -> None:
    """End the processes of killed demos, and the server that they started."""
    for mark in RunMark.abandoned(runs_folder()):
        ended = await mark.end()
        if _STARTED_SERVER in mark.notes():
            server.default().stop()
        if ended:
            plural = "" if ended == 1 else "es"
            print(
                f"Stopped {ended} process{plural} of an earlier demo that was killed.", flush=True
            )
        mark.release()


def recreate_old_layout(url: str) -> bool:
    """Recreate the embedded database, empty, if its tables have the names of older versions.

    Such a database has migrations of an app `tasks` and none of `taskmaster_tasks`. Raises
    ConfigurationError while another process uses the database.
    """
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT to_regclass('django_migrations')").fetchone()
        if found is None or found[0] is None:
            return False
        rows = connection.execute("SELECT DISTINCT app FROM django_migrations").fetchall()
    apps = {app for (app,) in rows}
    if "tasks" not in apps or "taskmaster_tasks" in apps:
        return False
    name = Identifier(server.DATABASE)
    with psycopg.connect(url.rpartition("/")[0] + "/postgres", autocommit=True) as connection:
        try:
            connection.execute(SQL("DROP DATABASE {}").format(name))
        except psycopg.errors.ObjectInUse:
            raise ConfigurationError(
                f"The database in {server.default().home} was created by an older version and "
                "must be recreated, but another process uses it. Stop that process and start the "
                "demo again."
            ) from None
        connection.execute(SQL("CREATE DATABASE {}").format(name))
    return True
