"""Pools that scale by themselves: looks at their load and sets how many workers they shall have."""

from __future__ import annotations

import time
from collections.abc import Callable

from tasks.statements import statement
from tasks.templatetags.taskmaster import duration
from workers.pools.autoscale import Autoscaler, Load, Policy
from workers.pools.members import Connect

_SQL = "workers.sql"
#: How often workers tell what they run.
LOOK_S = 5.0


class Scaler:
    """Of the coordinator that reconciles."""

    def __init__(
        self,
        connect: Connect,
        *,
        announce: Callable[[str, int, int, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        #: Told of each change: the pool, its size before and now, and why.
        self._announce = announce
        self._clock = clock
        self._looked_at = float("-inf")
        self._scalers: dict[str, Autoscaler] = {}

    async def look(self) -> None:
        """Decides for every pool that wants it, at most every `LOOK_S`."""
        now = self._clock()
        if now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        async with self._connect() as connection:
            cursor = await connection.execute(statement("pool_loads", _SQL))
            rows = await cursor.fetchall()
            self._scalers = {row[0]: self._scalers.get(row[0], Autoscaler()) for row in rows}
            for pool, desired, minimum, maximum, slots, target_s, cool_s, *found in rows:
                policy = Policy(minimum, maximum, slots, target_s, cool_s)
                load = Load(now, *found)
                wanted = self._scalers[pool].decide(policy, desired, load)
                if wanted == desired:
                    continue
                cursor = await connection.execute(
                    statement("pool_resize", _SQL),
                    {"pool": pool, "desired": desired, "wanted": wanted},
                )
                if await cursor.fetchone():
                    self._announce(pool, desired, wanted, _reason(load))

    def forget(self) -> None:
        """Another coordinator decides: what was seen so far is of no use later."""
        self._scalers.clear()
        self._looked_at = float("-inf")


def _reason(load: Load) -> str:
    if load.due:
        return f"{load.due} due, the oldest for {duration(load.oldest_wait_s)}"
    return f"nothing is due, {load.busy} slots are busy"
