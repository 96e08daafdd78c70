"""`make demo`: the whole of TaskMaster in the foreground, from an empty folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
from pathlib import Path

from taskmaster_site import postgres
from taskmaster_site.demo_workers import Workers
from taskmaster_site.processes import Child, Fleet
from tasks.errors import TaskMasterError

ROOT = Path(__file__).resolve().parent.parent
USER = "admin"
#: How long a part may take until it answers its health check.
_READY_S = 60.0


def ports() -> tuple[int, int]:
    """The ports of web and coordinator. Raises TaskMasterError for one that cannot be used."""
    web = _port("PORT", 8000)
    grpc = _port("TASKMASTER_GRPC_PORT", web + 1)
    if web == grpc:
        raise TaskMasterError(f"PORT and TASKMASTER_GRPC_PORT are both {web}; change one.")
    for port, setting, example in (
        (web, "PORT", f"PORT={8765 if web != 8765 else 8865}"),
        (grpc, "TASKMASTER_GRPC_PORT", f"TASKMASTER_GRPC_PORT={grpc + 100}"),
    ):
        if _taken(port):
            raise TaskMasterError(
                f"Port {port} is taken; {setting} changes it, for example: {example} make demo"
            )
    return web, grpc


def _port(variable: str, default: int) -> int:
    raw = os.environ.get(variable) or str(default)
    if not raw.isdigit() or not 0 < int(raw) < 65_535:
        raise TaskMasterError(f"{variable} is {raw!r}; it must be a port from 1 to 65534.")
    return int(raw)


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def prepare_database() -> bool:
    """Database and tables; returns whether the database was started here."""
    started = False
    if not os.environ.get("DATABASE_URL"):
        started = postgres.default().url() is None
        if started:
            print("Starting the embedded PostgreSQL …", flush=True)
        os.environ["DATABASE_URL"] = postgres.default().start()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskmaster_site.settings")
    import django
    from django.core.management import call_command

    django.setup()
    print("Migrating …", flush=True)
    call_command("migrate", verbosity=0)
    return started


def _make_admin() -> None:
    from django.contrib.auth import get_user_model

    users = get_user_model()
    if users.objects.filter(username=USER).exists():
        print(f"user: {USER} (set a new password with: manage.py changepassword {USER})")
        return
    password = secrets.token_urlsafe(12)
    users.objects.create_superuser(USER, password=password)
    print(f"user: {USER}\npassword: {password}", flush=True)


def parts(web: int, grpc: int) -> list[list[Child]]:
    """What runs, in the stages of `Fleet`."""
    python, manage = sys.executable, str(ROOT / "manage.py")
    endpoint = f"tcp:port={web}:interface=127.0.0.1:backlog=2048"
    address = f"127.0.0.1:{grpc}"
    daphne = ["-m", "daphne", "-v", "0", "-e", endpoint, "taskmaster_site.asgi:application"]
    return [
        [Child("web", [python, *daphne], lambda: web_answers(web))],
        [
            Child(
                "coordinator",
                [python, manage, "runcoordinator", "--port", str(grpc)],
                lambda: _coordinator_answers(address),
            )
        ],
    ]


async def web_answers(port: int) -> bool:
    """Whether the web process on this port is healthy."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return b" 200 " in await reader.readline()
        finally:
            writer.close()
    return False


async def _coordinator_answers(address: str) -> bool:
    # Another process asks: gRPC in this one would not go with the children it starts.
    script = (
        "import sys, grpc; from grpc_health.v1 import health_pb2 as h, health_pb2_grpc as r; "
        "a = r.HealthStub(grpc.insecure_channel(sys.argv[1])).Check(h.HealthCheckRequest(), "
        "timeout=2); sys.exit(a.status != h.HealthCheckResponse.SERVING)"
    )
    asked = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        address,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return await asked.wait() == 0


async def run(web: int, grpc: int) -> int:
    """Runs all parts until a signal; returns the exit code."""
    workers = Workers()
    await workers.start()
    fleet = Fleet(parts(web, grpc), workers)
    loop = asyncio.get_running_loop()
    # SIGHUP: its terminal was closed.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, fleet.stop)
    try:
        return await fleet.run(_READY_S, lambda: _announce(web, grpc))
    finally:
        await workers.restore()


def _announce(web: int, grpc: int) -> None:
    print(
        f"\nTaskMaster is ready:\n"
        f"  dashboard  http://127.0.0.1:{web}/\n"
        f"  admin      http://127.0.0.1:{web}/admin/\n"
        f"  API        http://127.0.0.1:{web}/api/docs/\n"
        f"  gRPC       127.0.0.1:{grpc}\n"
        f"  workers    the pool default; their logs are in .data/pools/default/\n"
        f"Ctrl+C stops everything.\n",
        flush=True,
    )


def main() -> int:
    """Prepares and runs; stops what it started."""
    # Until the parts run, a signal ends this process as it would any.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    started = False
    try:
        web, grpc = ports()
        started = prepare_database()
        _make_admin()
        return asyncio.run(run(web, grpc))
    except TaskMasterError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        from django.db import OperationalError

        from taskmaster_site.database import missing

        if not isinstance(error, OperationalError):
            raise
        print(missing(error), file=sys.stderr)
        return 1
    finally:
        if started:
            postgres.default().stop()


if __name__ == "__main__":
    sys.exit(main())
