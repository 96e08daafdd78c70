"""The settings of TaskMaster: one typed, checked place behind the TASKMASTER dict.

Each field can be set in `settings.TASKMASTER["name"]` or by the environment variable
`TASKMASTER_<NAME>`, which wins. The unit stands in the name.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints

from tasks.errors import ConfigurationError

#: Settings that make no sense at zero.
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
    "stream_check_s",
    "coordinator_pool_max",
    "db_pool_wait_s",
    "provider_timeout_s",
    "grpc_port",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its default. Times in seconds, sizes in bytes."""

    #: Tasks due within this time are picked early and held in memory until they are due.
    lookahead_s: float = 30.0
    #: The safety poll: a coordinator that nobody wakes looks for work this often.
    poll_interval_s: float = 10.0
    #: The most tasks one claim takes (batches of 500 reach 65,900 tasks/s, of 100 44,600).
    claim_batch: int = 500
    #: The most tasks one coordinator holds before they are due.
    held_max: int = 10_000
    #: What is due and finds no free slot is released after this time for other coordinators.
    hold_release_s: float = 0.5

    #: How often a worker says that it lives.
    heartbeat_interval_s: float = 5.0
    #: A worker that missed this many heartbeats is taken out of the pool.
    heartbeat_misses: int = 3
    #: An offer that is not accepted within this time is offered elsewhere.
    accept_timeout_s: float = 2.0
    #: After a broken stream a worker has this long to come back before its tasks are rescued.
    reconnect_grace_s: float = 2.0
    #: The longest pause of a worker between two tries to reach a coordinator. A coordinator that
    #: has just begun rescues nothing for twice this time: who runs something comes and says so.
    reconnect_max_s: float = 5.0
    #: A worker without contact stops tasks with `on_lost_contact="stop"` this long before a rescue
    #: could begin.
    lost_contact_margin_s: float = 3.0
    #: The most offers in flight beyond a worker's free slots, when its tasks are short.
    prefetch_max: int = 400

    #: Reports are gathered for this long before they are written in one transaction.
    flush_interval_s: float = 0.003
    #: The most reports in one transaction.
    flush_batch: int = 2_000

    #: Attempts of a task that names no number of its own.
    max_attempts: int = 3
    #: Hard time-out of an attempt that names none; 0 switches it off.
    timeout_s: float = 3_600.0
    #: First pause before a retry of a task that names none; it doubles with every attempt up to the
    #: cap, less up to a quarter at random.
    retry_base_s: float = 1.0
    #: The longest pause before a retry.
    retry_cap_s: float = 600.0

    #: The most that the JSON text of args and kwargs may take together.
    args_max_bytes: int = 1_048_576
    #: The most that the JSON text of a result may take.
    result_max_bytes: int = 1_048_576
    #: The most tasks in one bulk submission.
    bulk_max_tasks: int = 100_000
    #: The most output kept of one attempt; what is cut is marked.
    output_max_bytes: int = 262_144

    #: The newest events that are kept, for the activity log and for who comes back to a stream.
    events_kept: int = 5_000
    #: How often it is looked at whether the readers of open streams may still read.
    stream_check_s: float = 10.0

    #: The most connections of a coordinator's pool; one more listens, two serve client calls.
    coordinator_pool_max: int = 2
    #: A pooled connection that nobody used for this long is closed.
    db_pool_idle_s: float = 30.0
    #: Who finds no free connection waits this long, and is told then.
    db_pool_wait_s: float = 2.0

    #: What runs the workers of a pool (processes here, Docker, a cluster) answers within this time,
    #: or has failed.
    provider_timeout_s: float = 30.0
    #: How long SIGTERM leaves running tasks before they are handed back.
    shutdown_grace_s: float = 30.0
    #: Where a coordinator listens.
    grpc_host: str = "127.0.0.1"
    grpc_port: int = 50051
    #: `host:port` under which workers and other coordinators find it; empty: where it listens, by
    #: the name of its host when that is every address.
    grpc_advertise: str = ""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not 0 <= value < math.inf:
                raise ConfigurationError(
                    f"TASKMASTER: {field.name} is {value}; it must be a number from 0."
                )
        _require(
            self.poll_interval_s <= self.lookahead_s,
            "poll_interval_s is above lookahead_s: tasks would start late.",
        )
        for name in _POSITIVE:
            _require(getattr(self, name) > 0, f"{name} is 0; it must be positive.")
        _require(self.grpc_port < 65_536, f"grpc_port is {self.grpc_port}; 65535 is the highest.")
        _require(
            self.reconnect_grace_s <= self.silence_s,
            "reconnect_grace_s is above heartbeat_interval_s x heartbeat_misses: a worker whose "
            "stream broke would be waited for longer than one that is silent.",
        )
        _require(
            self.lost_contact_margin_s + self.heartbeat_interval_s < self.silence_s,
            "lost_contact_margin_s + heartbeat_interval_s is not below heartbeat_interval_s x "
            "heartbeat_misses: one heartbeat missed would stop tasks that lost no contact.",
        )
        _require(
            self.coordinator_pool_max >= 1, "coordinator_pool_max is 0; it must be at least 1."
        )
        _require(self.output_max_bytes >= 1_024, "output_max_bytes is below 1,024.")
        _require(self.retry_base_s <= self.retry_cap_s, "retry_base_s is above retry_cap_s.")

    @property
    def silence_s(self) -> float:
        """After so long without a heartbeat a worker is taken out of the pool."""
        return self.heartbeat_interval_s * self.heartbeat_misses


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ConfigurationError(f"TASKMASTER: {message}")


def read(declared: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """The settings from the TASKMASTER dict and the environment.

    Raises ConfigurationError for an unknown name, a wrong type or values that contradict
    each other.
    """
    types = get_type_hints(Settings)
    unknown = sorted(set(declared) - set(types))
    if unknown:
        raise ConfigurationError(
            f"TASKMASTER: unknown setting {', '.join(unknown)}; "
            f"known are {', '.join(sorted(types))}."
        )
    values: dict[str, Any] = {}
    for name, kind in types.items():
        variable = f"TASKMASTER_{name.upper()}"
        raw = environ.get(variable, declared.get(name))
        if raw is None:
            continue
        try:
            values[name] = kind(raw)
        except (TypeError, ValueError):
            raise ConfigurationError(
                f"{variable} is {raw!r}; it must be a {kind.__name__}."
            ) from None
    return Settings(**values)


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    from django.conf import settings as django_settings

    return read(getattr(django_settings, "TASKMASTER", {}), os.environ)
