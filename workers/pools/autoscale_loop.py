"""Measure the pools with autoscaling and set their desired number of workers."""

from __future__ import annotations

import time
from collections.abc import Callable

from taskmaster.tasks.templatetags.taskmaster import duration
from taskmaster.workers.pools.autoscale import Autoscaler, LoadSample, ScalingPolicy
from taskmaster.workers.pools.local_members import Connect
from taskmaster.workers.store import pool_store as store
from taskmaster.workers.store.pool_store import PoolLoad

#: Equal to the interval of the heartbeats, with which workers report their load.
INTERVAL_S = 5.0


class AutoscaleLoop:
    """Scale pools in the coordinator that reconciles them."""

    def __init__(
        self,
        connect: Connect,
        *,
        on_resized: Callable[[str, int, int, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        #: Called for each change with the pool, its old and new size, and the reason.
        self._on_resized = on_resized
        self._clock = clock
        self._ran_at = float("-inf")
        self._scalers: dict[str, Autoscaler] = {}

    async def run_if_due(self) -> None:
        """Decide for every pool with autoscaling, at most every `INTERVAL_S` seconds."""
        now = self._clock()
        if now - self._ran_at < INTERVAL_S:
            return
        self._ran_at = now
        async with self._connect() as connection:
            pools = await store.read_pool_loads(connection)
            self._scalers = {
                pool.name: self._scalers.get(pool.name, Autoscaler()) for pool in pools
            }
            for pool in pools:
                load = LoadSample(now, pool.due, pool.oldest_wait_s, pool.busy, pool.ended)
                count = self._scalers[pool.name].decide(_policy(pool), pool.desired, load)
                if count != pool.desired and await store.resize_pool(
                    connection, pool.name, desired=pool.desired, count=count
                ):
                    self._on_resized(pool.name, pool.desired, count, _reason(load))

    def forget(self) -> None:
        """Discard the measurements, because another coordinator decides from now on."""
        self._scalers.clear()
        self._ran_at = float("-inf")


def _policy(pool: PoolLoad) -> ScalingPolicy:
    return ScalingPolicy(
        pool.minimum, pool.maximum, pool.concurrency, pool.target_wait_s, pool.cool_down_s
    )


def _reason(load: LoadSample) -> str:
    if load.due:
        return f"{load.due} due, the oldest for {duration(load.oldest_wait_s)}"
    return f"nothing is due, {load.busy} slots are busy"
