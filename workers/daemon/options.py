"""The options of `runworker`: declared once, checked once."""

from __future__ import annotations

import os
import re
import socket
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.conf import Settings
from tasks.errors import ConfigurationError
from workers.joining.addresses import is_loopback, joined
from workers.joining.tls import Access, of_worker
from workers.pools.names import NAME as POOL_NAME

POOLS = ("process", "threads", "async")
_QUEUE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_SLOTS_MAX = 10_000
_NAME_MAX = 100
_TASKS_MAX = 1_000_000_000
#: A tebibyte.
_MEMORY_MAX_MB = 1_048_576


@dataclass(frozen=True, slots=True)
class Options:
    """What a worker was told on the command line and by the environment."""

    name: str
    #: Addresses `host:port`, tried in this order.
    coordinators: tuple[str, ...]
    #: Empty: every queue.
    queues: tuple[str, ...]
    pool: str
    slots: int
    #: The pool whose size it counts for; empty: none.
    pool_name: str = ""
    #: A child is recycled when it has begun so many tasks; None: never.
    max_tasks_per_child: int | None = None
    #: A child is recycled when its resident memory is above this, in MiB; None: never.
    max_memory_per_child_mb: int | None = None
    #: TLS and the join token, which the environment alone says.
    access: Access = field(default_factory=Access)

    def argv(self) -> list[str]:
        """The command line that says the same again."""
        argv = ["--name", self.name, "--coordinator", ",".join(self.coordinators)]
        argv += ["--pool", self.pool, "--concurrency", str(self.slots)]
        if self.queues:
            # One word: a queue's name may begin with a dash.
            argv.append(f"--queues={','.join(self.queues)}")
        if self.pool_name:
            argv += ["--pool-name", self.pool_name]
        if self.max_tasks_per_child is not None:
            argv += ["--max-tasks-per-child", str(self.max_tasks_per_child)]
        if self.max_memory_per_child_mb is not None:
            argv += ["--max-memory-per-child", str(self.max_memory_per_child_mb)]
        return argv


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options of `runworker`."""
    parser.add_argument(
        "--name",
        help="how people see this worker, up to 100 characters (default: host name and pid)",
    )
    parser.add_argument(
        "--coordinator",
        metavar="HOST:PORT[,HOST:PORT]",
        help="coordinators, tried in turn; beyond loopback over TLS alone "
        "(default: TASKMASTER_COORDINATORS, else the settings grpc_host and grpc_port)",
    )
    parser.add_argument(
        "--queues",
        metavar="NAME[,NAME]",
        help="take tasks of these queues only (default: every queue)",
    )
    parser.add_argument(
        "--pool",
        default="process",
        metavar="{process,threads,async}",
        help="how Python tasks run: 'process', one child process a slot, so that a time-out, a "
        "cancellation or a crash ends one task (default); 'threads' or 'async', all slots in one "
        "child, for short tasks and tasks that wait",
    )
    parser.add_argument(
        "--pool-name",
        metavar="NAME",
        help="the pool whose size this worker counts for; whoever runs the workers of a pool sets "
        "it (default: none)",
    )
    parser.add_argument(
        "--concurrency",
        metavar="N",
        help="slots: how many tasks and shell commands run at once (default: number of cores)",
    )
    parser.add_argument(
        "--max-tasks-per-child",
        metavar="N",
        help="replace a child process when it has begun N tasks; what it runs then finishes "
        "undisturbed (default: never)",
    )
    parser.add_argument(
        "--max-memory-per-child",
        metavar="MB",
        help="replace a child process whose resident memory is above so many MB, looked at once a "
        "second; what it runs then finishes undisturbed (default: never)",
    )


def from_arguments(
    values: Mapping[str, Any], environ: Mapping[str, str], conf: Settings
) -> Options:
    """The checked options. Raises ConfigurationError with one line that names the option."""
    pool = values["pool"]
    if pool not in POOLS:
        raise ConfigurationError(f"--pool is {pool!r}; it must be one of {', '.join(POOLS)}.")
    access = of_worker(environ)
    addresses = values["coordinator"] or environ.get("TASKMASTER_COORDINATORS")
    return Options(
        name=_name(values["name"]),
        coordinators=_coordinators(
            addresses or joined(conf.grpc_host, conf.grpc_port), tls=access.ca is not None
        ),
        queues=_queues(values["queues"]),
        pool=pool,
        slots=_whole("--concurrency", values["concurrency"], _SLOTS_MAX) or _cores(),
        pool_name=_pool_name(values["pool_name"]),
        max_tasks_per_child=_whole(
            "--max-tasks-per-child", values["max_tasks_per_child"], _TASKS_MAX
        ),
        max_memory_per_child_mb=_whole(
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


def _pool_name(text: str | None) -> str:
    if text is not None and not re.fullmatch(POOL_NAME, text):
        raise ConfigurationError(
            f"--pool-name is {text!r}; it takes 1 to 63 of a-z, 0-9 and -, the - only within."
        )
    return text or ""


def _queues(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ConfigurationError("--queues is empty; leave it out to serve every queue.")
    for name in names:
        if not _QUEUE.fullmatch(name):
            raise ConfigurationError(
                f"--queues: {name!r} is no queue name; it takes 1 to 64 letters, digits and . _ : -"
            )
    return tuple(dict.fromkeys(names))


def _whole(option: str, text: str | None, largest: int) -> int | None:
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
                f"--coordinator: {address!r} is no HOST:PORT, like 127.0.0.1:50051."
            )
        if not tls and not is_loopback(address):
            raise ConfigurationError(
                f"--coordinator: {address} is no loopback address, and there is no TLS: a join "
                "token would travel in plain text. Set TASKMASTER_TLS_CA and TASKMASTER_JOIN_TOKEN."
            )
    return tuple(dict.fromkeys(addresses))


def parse(argv: Sequence[str], environ: Mapping[str, str], conf: Settings) -> Options:
    """The options of a command line."""
    parser = ArgumentParser(prog="python -m workers.daemon")
    add_arguments(parser)
    return from_arguments(vars(parser.parse_args(argv)), environ, conf)
