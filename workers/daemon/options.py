"""Declare and check the options of `runworker`."""

from __future__ import annotations

import os
import re
import socket
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskmaster.tasks.conf import Settings
from taskmaster.tasks.errors import ConfigurationError
from taskmaster.workers.names import EXECUTORS, is_pool_name
from taskmaster.workers.security.addresses import is_loopback, join_host_port
from taskmaster.workers.security.tls import WorkerTls, read_worker_tls

_QUEUE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_SLOTS_MAX = 10_000
_NAME_MAX = 100
_TASKS_MAX = 1_000_000_000
#: One tebibyte.
_MEMORY_MAX_MB = 1_048_576


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Hold the checked options of a worker, from the command line and the environment."""

    name: str
    #: Addresses `host:port`, tried in this order.
    coordinators: tuple[str, ...]
    #: Queues to serve. Empty: every queue.
    queues: tuple[str, ...]
    executor: str
    slots: int
    #: Name of the worker pool that counts this worker. Empty: none.
    pool: str = ""
    #: A child is recycled after it has started this number of tasks. None: never.
    max_tasks_per_child: int | None = None
    #: A child is recycled when its resident memory exceeds this limit, in MiB. None: never.
    max_memory_per_child_mb: int | None = None
    #: TLS files and join token. They are read from the environment only.
    access: WorkerTls = field(default_factory=WorkerTls)

    def argv(self) -> list[str]:
        """Return the command-line arguments that reproduce these options."""
        argv = ["--name", self.name, "--coordinator", ",".join(self.coordinators)]
        argv += ["--executor", self.executor, "--concurrency", str(self.slots)]
        if self.queues:
            # Joined with "=" into one argument, because a queue name may start with a dash.
            argv.append(f"--queues={','.join(self.queues)}")
        if self.pool:
            argv += ["--pool", self.pool]
        if self.max_tasks_per_child is not None:
            argv += ["--max-tasks-per-child", str(self.max_tasks_per_child)]
        if self.max_memory_per_child_mb is not None:
            argv += ["--max-memory-per-child", str(self.max_memory_per_child_mb)]
        return argv


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of `runworker` to a parser."""
    parser.add_argument(
        "--name",
        help="name of the worker, at most 100 characters (default: host name and pid)",
    )
    parser.add_argument(
        "--coordinator",
        metavar="HOST:PORT[,HOST:PORT]",
        help="coordinators, tried in this order; other hosts require TLS "
        "(default: TASKMASTER_COORDINATORS, else the settings grpc_host and grpc_port)",
    )
    parser.add_argument(
        "--queues",
        metavar="NAME[,NAME]",
        help="run tasks of these queues only (default: every queue)",
    )
    parser.add_argument(
        "--executor",
        default="process",
        metavar="{process,thread,async}",
        help="how Python tasks run. 'process' (default): one child process per slot, so that a "
        "time-out, a cancellation or a crash ends one task. 'thread' or 'async': all slots in one "
        "child, for short tasks and tasks that wait",
    )
    parser.add_argument(
        "--pool",
        metavar="NAME",
        help="the worker pool that counts this worker; set by the provider of the pool "
        "(default: none)",
    )
    parser.add_argument(
        "--concurrency",
        metavar="N",
        help="number of slots: tasks and shell commands that run concurrently (default: number of "
        "cores)",
    )
    parser.add_argument(
        "--max-tasks-per-child",
        metavar="N",
        help="replace a child process after it has started N tasks; its running tasks finish "
        "(default: never)",
    )
    parser.add_argument(
        "--max-memory-per-child",
        metavar="MB",
        help="replace a child process whose resident memory exceeds MB megabytes, checked every "
        "second; its running tasks finish (default: never)",
    )


def from_arguments(
    values: Mapping[str, Any], environ: Mapping[str, str], conf: Settings
) -> WorkerOptions:
    """Check parsed arguments and return the options.

    Raises ConfigurationError with a one-line message that names the option.
    """
    executor = values["executor"]
    if executor not in EXECUTORS:
        raise ConfigurationError(
            f"--executor is {executor!r}; it must be one of {', '.join(EXECUTORS)}."
        )
    access = read_worker_tls(environ)
    addresses = values["coordinator"] or environ.get("TASKMASTER_COORDINATORS")
    return WorkerOptions(
        name=_name(values["name"]),
        coordinators=_coordinators(
            addresses or join_host_port(conf.grpc_host, conf.grpc_port), tls=access.ca is not None
        ),
        queues=_queues(values["queues"]),
        executor=executor,
        slots=_parse_whole_number("--concurrency", values["concurrency"], _SLOTS_MAX) or _cores(),
        pool=_pool(values["pool"]),
        max_tasks_per_child=_parse_whole_number(
            "--max-tasks-per-child", values["max_tasks_per_child"], _TASKS_MAX
        ),
        max_memory_per_child_mb=_parse_whole_number(
            "--max-memory-per-child", values["max_memory_per_child"], _MEMORY_MAX_MB
        ),
        access=access,
    )


def _name(text: str | None) -> str:
    if text is None:
        return f"{socket.gethostname()[:80]}-{os.getpid()}"
    if not 0 < len(text) <= _NAME_MAX or not text.isprintable():
        raise ConfigurationError(f"--name must be 1 to {_NAME_MAX} printable characters.")
    return text


def _pool(text: str | None) -> str:
    if text is not None and not is_pool_name(text):
        raise ConfigurationError(
            f"--pool: {text!r} is not a valid pool name: use 1 to 63 of a-z, 0-9 and -, not "
            "starting or ending with -."
        )
    return text or ""


def _queues(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ConfigurationError("--queues is empty; omit it to serve every queue.")
    for name in names:
        if not _QUEUE.fullmatch(name):
            raise ConfigurationError(
                f"--queues: {name!r} is not a valid queue name: use 1 to 64 letters, digits and . "
                "_ : -"
            )
    return tuple(dict.fromkeys(names))


def _parse_whole_number(option: str, text: str | None, largest: int) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= largest:
        raise ConfigurationError(
            f"{option} is {text!r}; it must be a whole number from 1 to {largest:,}."
        )
    return int(text)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _coordinators(text: str, *, tls: bool) -> tuple[str, ...]:
    addresses = [address.strip() for address in text.split(",") if address.strip()]
    if not addresses:
        raise ConfigurationError("--coordinator is empty; give HOST:PORT, like 127.0.0.1:50051.")
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise ConfigurationError(
                f"--coordinator: {address!r} is not HOST:PORT, like 127.0.0.1:50051."
            )
        if not tls and not is_loopback(address):
            raise ConfigurationError(
                f"--coordinator: {address} is not a loopback address and TLS is not configured: "
                "the join token would be sent in plain text. Set TASKMASTER_TLS_CA and "
                "TASKMASTER_JOIN_TOKEN."
            )
    return tuple(dict.fromkeys(addresses))


def parse(argv: Sequence[str], environ: Mapping[str, str], conf: Settings) -> WorkerOptions:
    """Parse a command line and return the checked options."""
    parser = ArgumentParser(prog="python -m taskmaster.workers.daemon")
    add_arguments(parser)
    return from_arguments(vars(parser.parse_args(argv)), environ, conf)
