"""Implement `make demo`: run all of TaskMaster in the foreground, starting from an empty folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from taskmaster.taskmaster_site import data
from taskmaster.taskmaster_site.demo import admin
from taskmaster.taskmaster_site.demo.database import DemoDatabase, end_abandoned, print_error
from taskmaster.taskmaster_site.demo.local_workers import LocalWorkers
from taskmaster.taskmaster_site.demo.process_group import ManagedProcess, ProcessGroup, web_command
from taskmaster.taskmaster_site.demo.run_mark import RunMark, runs_folder
from taskmaster.tasks.errors import TaskMasterError
from taskmaster.workers import python_process
from taskmaster.workers.security import private_process

ROOT = Path(__file__).resolve().parents[2]
#: How long a part may take to pass its health check, in seconds.
_READY_S = 60.0


def demo_settings() -> dict[str, str]:
    """Return the settings that are off by default and on in a demo. Given values stay."""
    chosen = {"TASKMASTER_SHELL_TASKS": "on"}
    if data.is_checkout():
        # An installed package has no examples.
        chosen["TASKMASTER_TASK_MODULES"] = "examples.tasks,examples.scheduled"
    return {name: os.environ.get(name, value) for name, value in chosen.items()}


def ports() -> tuple[int, int]:
    """Return the ports of web and coordinator. Raises TaskMasterError if one is unusable."""
    web = _port("PORT", 8000)
    grpc = _port("TASKMASTER_GRPC_PORT", web + 1)
    if web == grpc:
        raise TaskMasterError(
            f"PORT and TASKMASTER_GRPC_PORT are both {web}; they must differ. Change one of them."
        )
    for port, setting, example in (
        (web, "PORT", f"PORT={8765 if web != 8765 else 8865}"),
        (grpc, "TASKMASTER_GRPC_PORT", f"TASKMASTER_GRPC_PORT={grpc + 100}"),
    ):
        if _in_use(port):
            raise TaskMasterError(
                f"Port {port} is in use. Choose another one with {setting}, for example: "
                f"{example} {data.command('demo')}"
            )
    return web, grpc


def _port(variable: str, default: int) -> int:
    raw = os.environ.get(variable) or str(default)
    if not raw.isdigit() or not 0 < int(raw) < 65_535:
        raise TaskMasterError(f"{variable} is {raw!r}; it must be a port from 1 to 65534.")
    return int(raw)


def _in_use(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def parts(web: int, grpc: int) -> list[list[ManagedProcess]]:
    """Return the processes of the demo in the stages of `ProcessGroup`."""
    address = f"127.0.0.1:{grpc}"
    return [
        [
            ManagedProcess(
                "web", private_process.command(*web_command(web)[1:]), lambda: web_answers(web)
            )
        ],
        [
            ManagedProcess(
                "coordinator",
                private_process.command("-m", "taskmaster", "runcoordinator", "--port", str(grpc)),
                lambda: _coordinator_answers(address),
            )
        ],
    ]


async def web_answers(port: int) -> bool:
    """Return whether the web process on this port is healthy."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return b" 200 " in await reader.readline()
        finally:
            writer.close()
    return False


async def _coordinator_answers(address: str) -> bool:
    # Use another process, because a process that uses gRPC can hang when it starts children.
    script = (
        "import sys, grpc; from grpc_health.v1 import health_pb2 as h, health_pb2_grpc as r; "
        "a = r.HealthStub(grpc.insecure_channel(sys.argv[1])).Check(h.HealthCheckRequest(), "
        "timeout=2); sys.exit(a.status != h.HealthCheckResponse.SERVING)"
    )
    probe = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        address,
        env=private_process.without_secrets(os.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return await probe.wait() == 0


async def run(web: int, grpc: int, database: DemoDatabase, mark: RunMark) -> int:
    """Run all parts until a signal; return the exit code."""
    password = await asyncio.to_thread(admin.create)
    workers = LocalWorkers(mark)
    await workers.start()
    group = ProcessGroup(parts(web, grpc), workers)
    loop = asyncio.get_running_loop()
    # The terminal sends SIGHUP when it is closed.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, group.stop)
    supervision = asyncio.create_task(database.supervise(), name="supervise-database")
    try:
        return await group.run(_READY_S, lambda: _print_summary(web, grpc, password))
    finally:
        await workers.restore()
        supervision.cancel()


def _print_summary(web: int, grpc: int, password: str | None) -> None:
    settings = " ".join(f"{name}={value}" for name, value in demo_settings().items())
    logs = Path(os.environ["TASKMASTER_DATA_DIR"], "pools", "default")
    # Scripts search for lines that start with `user:`, `password:` and `Ctrl+C`.
    password_line = f"password: {password}\n" if password else ""
    print(
        f"\nTaskMaster is ready:\n"
        f"  dashboard  http://127.0.0.1:{web}/\n"
        f"  admin      http://127.0.0.1:{web}/admin/\n"
        f"  API        http://127.0.0.1:{web}/api/docs/\n"
        f"  gRPC       127.0.0.1:{grpc}\n"
        f"  workers    worker pool default; logs in {logs}\n"
        f"  settings   {settings}\n"
        f"user: {admin.USER}\n"
        f"{password_line}"
        f"`{data.command('password')}` sets a new password.\n"
        f"Ctrl+C stops everything.\n",
        flush=True,
    )


def main() -> int:
    """Prepare and run the demo, and stop everything that it started."""
    # Until the parts run, a signal ends this process in the default way.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    os.environ["TASKMASTER_DATA_DIR"] = str(data.folder())
    os.environ.update(demo_settings())
    # Let the parts import the same modules from any working directory.
    os.environ.update(python_process.environment(os.environ))
    mark, database = None, None
    try:
        asyncio.run(end_abandoned())
        web, grpc = ports()
        mark = RunMark.create(runs_folder())
        database = DemoDatabase(mark)
        database.prepare()
        return asyncio.run(run(web, grpc, database, mark))
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        return print_error(error)
    finally:
        _clean_up(database, mark)


def _clean_up(database: DemoDatabase | None, mark: RunMark | None) -> None:
    """End the processes that an error left running, and stop the server. Ignores signals."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if mark is not None:
        asyncio.run(mark.end())
    if database is not None:
        database.stop()
    if mark is not None and not mark.processes():
        mark.release()


if __name__ == "__main__":
    private_process.restart()
    sys.exit(main())
