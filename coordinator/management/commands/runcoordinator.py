"""Provide `manage.py runcoordinator`, which runs one coordinator."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError as DjangoOperationalError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from psycopg import OperationalError

from taskmaster.coordinator.support.database import limit_django_pool
from taskmaster.tasks.checks import TAG
from taskmaster.tasks.conf import settings
from taskmaster.tasks.errors import ConfigurationError, TaskMasterError
from taskmaster.tasks.extras import MissingExtra, require_extra
from taskmaster.tasks.logs import ensure_handler
from taskmaster.workers.security import private_process
from taskmaster.workers.security.addresses import is_loopback_host
from taskmaster.workers.security.tls import read_server_tls, variables

#: Labels of the apps whose tables a coordinator needs.
_APP_LABELS = ("taskmaster_tasks", "taskmaster_workers", "taskmaster_coordinator")


class Command(BaseCommand):
    """Parse and check the options, then run `taskmaster.coordinator.process.Process`."""

    help = (
        "Run a coordinator. It claims due tasks from PostgreSQL and pushes them to connected "
        "workers over gRPC. Several coordinators can share one database. SIGINT and SIGTERM stop "
        "it gracefully."
    )
    # Not those of URLs: they import the whole site, which a coordinator does not serve.
    requires_system_checks = (TAG, Tags.models)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options for the address and the port to listen on."""
        parser.add_argument(
            "--host",
            help="address to listen on; an address other than loopback needs TLS (default: the "
            "setting grpc_host, 127.0.0.1)",
        )
        parser.add_argument(
            "--port",
            type=int,
            help="port to listen on (default: the setting grpc_port, 50051)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the coordinator until SIGINT or SIGTERM.

        Raises CommandError for bad options, missing packages, missing migrations and configuration
        errors. Raises django.db.OperationalError if the database cannot be reached.
        """
        try:
            require_extra("server", "runcoordinator")
            if sys.argv[1:2] == ["runcoordinator"]:
                # This process does nothing else.
                private_process.restart()
        except (MissingExtra, ConfigurationError) as error:
            raise CommandError(str(error)) from None
        conf = settings()
        host = conf.grpc_host if options["host"] is None else options["host"]
        port = conf.grpc_port if options["port"] is None else options["port"]
        tls = read_server_tls(os.environ)
        if tls is None:
            _require_tls(host)
        else:
            # Workers of local pools get the pair that this process has read.
            private_process.keep_for_workers(variables(tls.pair))
        if not 0 < port < 65_536:
            raise CommandError(f"--port is {port}; it must be an integer from 1 to 65535.")
        _require_tables()
        ensure_handler()
        import uvloop

        from taskmaster.coordinator.process import DJANGO_THREADS, Process

        # The thread that publishes the events of client calls shares these connections.
        limit_django_pool(DJANGO_THREADS)

        async def main() -> None:
            await Process(conf, host, port, tls).run()

        try:
            uvloop.run(main())
        except* TaskMasterError as group:
            raise CommandError(str(group.exceptions[0])) from None
        except* OperationalError as group:
            # Raise Django's class, so that manage.py reports which database it tried.
            raise DjangoOperationalError(str(group.exceptions[0]).strip()) from None


def _require_tables() -> None:
    """Raise CommandError if migrations are missing.

    Without the tables every part of the coordinator would fail and retry forever.
    """
    executor = MigrationExecutor(connection)
    targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] in _APP_LABELS]
    missing = executor.migration_plan(targets)
    connection.close()
    if missing:
        raise CommandError(
            f"{len(missing)} migration{' is' if len(missing) == 1 else 's are'} unapplied; run "
            "`manage.py migrate`."
        )


def _require_tls(host: str) -> None:
    if not is_loopback_host(host):
        raise CommandError(
            f"--host {host} is not a loopback address and requires TLS: set TASKMASTER_TLS_CERT "
            "and TASKMASTER_TLS_KEY (`manage.py taskmaster certs` creates them), or use 127.0.0.1."
        )
