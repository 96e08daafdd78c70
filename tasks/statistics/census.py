"""Counts what waits and runs, as often as is cheap."""

from __future__ import annotations

from tasks.statements import statement
from tasks.store import Connection

#: The key of the advisory lock of whoever counts.
TURN = 0x7461736B6365
#: The shortest time between two counts, in seconds: as often as a screen is brought up to date.
FRESH_S = 0.25
#: A count that took long is repeated after this many times as long: a fiftieth of one core.
SHARE = 50
#: Old statistics are summed up with every so many counts.
_ROLLUP_EVERY = 1_000


class Census:
    """One process's part in the counting: whoever comes first counts for all."""

    def __init__(self) -> None:
        self._took_s = 0.0
        self._counts = 0

    async def take(self, connection: Connection) -> None:
        """Counts, unless it has just been done."""
        fresh_s = max(FRESH_S, SHARE * self._took_s)
        parameters = {"turn": TURN, "fresh_s": fresh_s}
        cursor = await connection.execute(statement("census"), parameters)
        row = await cursor.fetchone()
        if row is None:
            return
        self._took_s = row[0]
        if self._counts % _ROLLUP_EVERY == 0:
            await connection.execute(statement("rollup"))
        self._counts += 1
