"""`manage.py runcoordinator`: claims what is due and hands it to workers."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError as DatabaseAway
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from psycopg import OperationalError

from coordinator.database import limit_django
from tasks.conf import settings
from tasks.errors import TaskMasterError
from workers.joining.addresses import is_loopback_host
from workers.joining.tls import of_coordinator

#: The packages whose tables a coordinator needs.
_OURS = ("tasks", "workers", "coordinator")


class Command(BaseCommand):
    """Parses the options and hands over to `coordinator.process`."""

    help = (
        "Run a coordinator: it claims due tasks from PostgreSQL and pushes them to connected "
        "workers over gRPC. Run as many as you like on one database; SIGINT or SIGTERM ends it "
        "gracefully."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where to listen."""
        conf = settings()
        parser.add_argument(
            "--host",
            default=conf.grpc_host,
            help="address to listen on; beyond loopback with TLS alone (default: %(default)s)",
        )
        parser.add_argument(
            "--port",
            type=int,
            default=conf.grpc_port,
            help="port to listen on (default: %(default)s, or TASKMASTER_GRPC_PORT)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs until a signal."""
        host, port = options["host"], options["port"]
        tls = of_coordinator(os.environ)
        if tls is None:
            _require_tls(host)
        if not 0 < port < 65_536:
            raise CommandError(f"--port is {port}; it must be from 1 to 65535.")
        _require_tables()
        import uvloop

        from coordinator.process import DJANGO_THREADS, Process

        # Whoever publishes for those threads shares their connections.
        limit_django(DJANGO_THREADS)

        async def main() -> None:
            await Process(settings(), host, port, tls).run()

        try:
            uvloop.run(main())
        except* TaskMasterError as group:
            raise CommandError(str(group.exceptions[0])) from None
        except* OperationalError as group:
            # Django's class, so that manage.py says which database was tried.
            raise DatabaseAway(str(group.exceptions[0]).strip()) from None


def _require_tables() -> None:
    """What it would miss otherwise, again and again."""
    executor = MigrationExecutor(connection)
    wanted = [node for node in executor.loader.graph.leaf_nodes() if node[0] in _OURS]
    missing = executor.migration_plan(wanted)
    connection.close()
    if missing:
        raise CommandError(
            f"The database lacks {len(missing)} migrations of this TaskMaster; run "
            "`manage.py migrate`."
        )


def _require_tls(host: str) -> None:
    if not is_loopback_host(host):
        raise CommandError(
            f"--host {host} is no loopback address. Beyond this machine a coordinator listens with "
            "TLS and join tokens alone: set TASKMASTER_TLS_CERT and TASKMASTER_TLS_KEY "
            "(`manage.py taskmaster certs` makes them), or use 127.0.0.1."
        )
