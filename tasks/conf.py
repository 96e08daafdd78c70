"""Define, read and validate TaskMaster's settings.

Each field is set in `settings.TASKMASTER["name"]` or with the environment variable
`TASKMASTER_<NAME>`. The environment variable takes precedence. The suffix of a name is its unit.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints

from taskmaster.tasks import retention
from taskmaster.tasks.errors import ConfigurationError
from taskmaster.tasks.retention import Retention

#: Settings that must be greater than zero.
_POSITIVE = (
    "lookahead_s",
    "poll_interval_s",
    "claim_batch",
    "held_max",
    "heartbeat_interval_s",
    "heartbeat_misses",
    "accept_timeout_s",
    "reconnect_max_s",
    "flush_batch",
    "max_attempts",
    "args_max_bytes",
    "result_max_bytes",
    "bulk_max_tasks",
    "events_kept",
    "schedule_runs_kept",
    "stream_check_s",
    "coordinator_pool_max",
    "db_pool_wait_s",
    "provider_timeout_s",
    "grpc_port",
)
#: Largest limit of arguments and of results. Reports of 2 MB and a result share a message.
_PAYLOAD_MAX = 8 * 1024 * 1024


#: The rule that refuses a shell task while the setting `shell_tasks` is off.
SHELL_OFF = (
    "shell tasks are switched off. To switch them on, set TASKMASTER_SHELL_TASKS=on for web, "
    "coordinators, workers and commands."
)
#: Texts of an on/off setting, in lower case.
_ON, _OFF = ("on", "1", "true", "yes"), ("off", "0", "false", "no", "")


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold every setting with its default. Times are in seconds, sizes in bytes."""

    #: Tasks due within this time are claimed early and held in memory until they are due.
    lookahead_s: float = 30.0
    #: Interval of the safety poll: an idle coordinator without a NOTIFY looks for work this often.
    poll_interval_s: float = 10.0
    #: Maximum number of tasks of one claim (measured: 65,900 tasks/s with batches of 500, 44,600
    #: with batches of 100).
    claim_batch: int = 500
    #: Maximum number of tasks that one coordinator holds until they are due.
    held_max: int = 10_000
    #: A held task that is due and finds no free slot is released after this time, so that other
    #: coordinators can claim it.
    hold_release_s: float = 0.5

    #: Interval of a worker's heartbeats.
    heartbeat_interval_s: float = 5.0
    #: A worker that misses this many heartbeats is declared dead.
    heartbeat_misses: int = 3
    #: A task whose offer is not accepted within this time is offered elsewhere.
    accept_timeout_s: float = 2.0
    #: Time for a worker to reconnect after its stream broke. Then its tasks are rescued.
    reconnect_grace_s: float = 2.0
    #: The longest pause of a worker between two attempts to reach a coordinator. A coordinator
    #: rescues no tasks of dead coordinators for twice this time after its start, so that workers
    #: can connect and list what they run.
    reconnect_max_s: float = 5.0
    #: A worker without contact stops its tasks with `on_lost_contact="stop"` this long before they
    #: can be rescued.
    lost_contact_margin_s: float = 3.0
    #: Maximum number of offers beyond a worker's free slots. Only short tasks are prefetched.
    prefetch_max: int = 400

    #: Reports are collected for this time and then written in one transaction.
    flush_interval_s: float = 0.003
    #: Maximum number of reports in one transaction.
    flush_batch: int = 2_000

    #: Default number of attempts of a task.
    max_attempts: int = 3
    #: Default hard time-out of an attempt; 0 disables it.
    timeout_s: float = 3_600.0
    #: Default pause before the first retry. It doubles with every attempt up to `retry_cap_s`. Each
    #: pause is shortened at random by up to a quarter.
    retry_base_s: float = 1.0
    #: Default of the longest pause before a retry.
    retry_cap_s: float = 600.0

    #: Maximum size of the JSON texts of args and kwargs together, at most 8 MiB.
    args_max_bytes: int = 1_048_576
    #: Maximum size of the JSON text of a result, at most 8 MiB.
    result_max_bytes: int = 1_048_576
    #: Maximum number of tasks in one bulk submission.
    bulk_max_tasks: int = 100_000
    #: Maximum size of the output stored for one attempt. Truncated output is marked.
    output_max_bytes: int = 262_144

    #: Whether shell commands can be submitted, retried and executed. Set it for web, coordinators
    #: and workers.
    shell_tasks: bool = False

    #: How long finished tasks, bulk operations and offline workers are kept.
    retention: Retention = dataclasses.field(default_factory=Retention)
    #: Number of newest events that are kept for the activity log and for reconnecting streams.
    events_kept: int = 5_000
    #: Number of newest runs of each schedule that are kept.
    schedule_runs_kept: int = 1_000
    #: Interval at which the permissions of the readers of open streams are checked again.
    stream_check_s: float = 10.0

    #: Maximum size of a coordinator's connection pool. One more connection listens, and two more
    #: serve client calls.
    coordinator_pool_max: int = 2
    #: A pooled connection that is unused for this time is closed.
    db_pool_idle_s: float = 30.0
    #: Time to wait for a free pooled connection. Then PoolTimeout is raised.
    db_pool_wait_s: float = 2.0

    #: Names of the environment variables that a worker pool may set. Others are refused: variables
    #: such as PYTHONPATH or LD_PRELOAD run code with the rights of a coordinator.
    pool_environment: tuple[str, ...] = ("LANG", "LC_ALL", "TZ")
    #: Time-out of calls to the provider of a worker pool (local processes, Docker Compose,
    #: Kubernetes).
    provider_timeout_s: float = 30.0
    #: Time for running tasks to finish after SIGTERM. Then they are handed back.
    shutdown_grace_s: float = 30.0
    #: Folder for files that outlive a process, such as the logs of local workers. Empty: a private
    #: folder for this user and database in the system's temporary folder.
    data_dir: str = ""
    #: Address and port on which a coordinator listens.
    grpc_host: str = "127.0.0.1"
    grpc_port: int = 50051
    #: `host:port` at which workers and other coordinators reach the coordinator. Empty: the address
    #: on which it listens, or its host name if it listens on every address.
    grpc_advertise: str = ""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if type(value) in (int, float) and not 0 <= value < math.inf:
                raise ConfigurationError(
                    f"TASKMASTER: {field.name} is {value}; it must be a finite number >= 0."
                )
        _require(
            self.poll_interval_s <= self.lookahead_s,
            f"poll_interval_s is {self.poll_interval_s}; it must not exceed lookahead_s, which is "
            f"{self.lookahead_s}. Otherwise tasks would start late.",
        )
        for name in _POSITIVE:
            _require(getattr(self, name) > 0, f"{name} is 0; it must be greater than 0.")
        for name in ("args_max_bytes", "result_max_bytes"):
            _require(
                getattr(self, name) <= _PAYLOAD_MAX,
                f"{name} is {getattr(self, name)}; the maximum is {_PAYLOAD_MAX}, because a "
                "message between coordinator and worker has at most 16 MiB.",
            )
        _require(self.grpc_port < 65_536, f"grpc_port is {self.grpc_port}; the maximum is 65535.")
        _require(
            self.reconnect_grace_s <= self.silence_s,
            f"reconnect_grace_s is {self.reconnect_grace_s}; it must not exceed "
            f"heartbeat_interval_s x heartbeat_misses, which is {self.silence_s}. Otherwise a "
            "worker with a broken stream would be declared dead later than a silent worker.",
        )
        _require(
            self.lost_contact_margin_s + self.heartbeat_interval_s < self.silence_s,
            "lost_contact_margin_s + heartbeat_interval_s is "
            f"{self.lost_contact_margin_s + self.heartbeat_interval_s}; it must be less than "
            f"heartbeat_interval_s x heartbeat_misses, which is {self.silence_s}. Otherwise one "
            "missed heartbeat would stop tasks of a worker that has contact.",
        )
        _require(
            self.coordinator_pool_max >= 1, "coordinator_pool_max is 0; it must be at least 1."
        )
        _require(
            self.output_max_bytes >= 1_024,
            f"output_max_bytes is {self.output_max_bytes}; it must be at least 1024.",
        )
        _require(
            self.retry_base_s <= self.retry_cap_s,
            f"retry_base_s is {self.retry_base_s}; it must not exceed retry_cap_s, which is "
            f"{self.retry_cap_s}.",
        )

    @property
    def silence_s(self) -> float:
        """Return the time without a heartbeat after which a worker is declared dead."""
        return self.heartbeat_interval_s * self.heartbeat_misses


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ConfigurationError(f"TASKMASTER: {message}")


def read(declared: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Return the settings from the TASKMASTER dict and the environment.

    Raise ConfigurationError for an unknown name, a wrong type or contradictory values.
    """
    types = get_type_hints(Settings)
    unknown = sorted(set(declared) - set(types))
    if unknown:
        raise ConfigurationError(
            f"TASKMASTER: unknown setting {', '.join(unknown)}; "
            f"valid settings are {', '.join(sorted(types))}."
        )
    values: dict[str, Any] = {}
    for name, kind in types.items():
        variable = f"TASKMASTER_{name.upper()}"
        raw = environ.get(variable, declared.get(name))
        if raw is None:
            continue
        if kind == tuple[str, ...]:
            values[name] = _names(variable, raw)
            continue
        if kind is Retention:
            values[name] = retention.parse(variable, raw)
            continue
        if kind is bool:
            values[name] = _switch(variable, raw)
            continue
        try:
            values[name] = kind(raw)
        except (TypeError, ValueError):
            raise ConfigurationError(
                f"{variable} is {raw!r}; it must be of type {kind.__name__}."
            ) from None
    return Settings(**values)


def _names(variable: str, raw: object) -> tuple[str, ...]:
    """Return the names of a list, or of a text in which they are separated by commas."""
    given = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(given, list | tuple) or not all(isinstance(each, str) for each in given):
        raise ConfigurationError(f"{variable} is {raw!r}; it must be a list of names.")
    return tuple(dict.fromkeys(each.strip() for each in given if each.strip()))


def _switch(variable: str, raw: object) -> bool:
    """Return the value of an on/off setting."""
    if isinstance(raw, bool):
        return raw
    text = str(raw).lower()
    if text in _ON:
        return True
    _require(text in _OFF, f"{variable} is {raw!r}; it must be on or off.")
    return False


@cache
def settings() -> Settings:
    """Return the settings of this process. They are read once."""
    from django.conf import settings as django_settings

    return read(getattr(django_settings, "TASKMASTER", {}), os.environ)
