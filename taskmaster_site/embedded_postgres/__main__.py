"""Start, stop, show or remove the embedded PostgreSQL of this checkout or working directory.

python -m taskmaster.taskmaster_site.embedded_postgres start | stop | status | remove
python -m taskmaster.taskmaster_site.embedded_postgres run -- COMMAND …
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from taskmaster.taskmaster_site.embedded_postgres import server_binaries
from taskmaster.taskmaster_site.embedded_postgres.server import EmbeddedPostgres, default
from taskmaster.tasks.errors import ConfigurationError


def main(arguments: Sequence[str]) -> int:
    """Run one command line. `run` gives its command a running server in DATABASE_URL."""
    cluster = default()
    match list(arguments):
        case ["start"]:
            print(cluster.start())
        case ["stop"]:
            cluster.stop()
        case ["status"]:
            print(cluster.url() or "not running")
        case ["remove"]:
            cluster.remove()
            server_binaries.remove_copy()
        case ["run", "--", _, *_]:
            return _run_beside(cluster, arguments[2:])
        case _:
            print(
                f"usage: python -m {__package__} start|stop|status|remove|run -- COMMAND",
                file=sys.stderr,
            )
            return 2
    return 0


def _run_beside(cluster: EmbeddedPostgres, command: Sequence[str]) -> int:
    """Run a command with a running server. Stop the server if it was started for the command."""
    configured = os.environ.get("DATABASE_URL")
    started = not configured and cluster.url() is None
    environment = {**os.environ, "DATABASE_URL": configured or cluster.start()}
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    except OSError as error:
        raise ConfigurationError(f"{command[0]}: {error.strerror}") from None
    finally:
        if started:
            cluster.stop()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ConfigurationError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
