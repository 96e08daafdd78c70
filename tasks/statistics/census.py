"""Counts what waits and runs, as often as is cheap."""

from __future__ import annotations

from typing import Any

from django.db import connections

from tasks import shards
from tasks.statements import statement
from tasks.store import Connection

#: The key of the advisory lock of whoever counts.
_TURN = 0x7461736B6365
#: The shortest time between two counts, in seconds: as often as a screen is brought up to date.
_FRESH_S = 0.25
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
        """Counts, unless it has just been done; in a coordinator, when something happened."""
        cursor = await connection.execute(statement("census"), self._parameters())
        if self._counted(await cursor.fetchone()):
            await connection.execute(statement("rollup"))

    def take_for_screen(self) -> None:
        """The same over Django's connection: in the web, while somebody looks."""
        with connections[shards.current()].cursor() as cursor:
            cursor.execute(statement("census"), self._parameters())
            if self._counted(cursor.fetchone()):
                cursor.execute(statement("rollup"))

    def _parameters(self) -> dict[str, Any]:
        return {"turn": _TURN, "fresh_s": max(_FRESH_S, SHARE * self._took_s)}

    def _counted(self, row: tuple[Any, ...] | None) -> bool:
        """Whether it is time to sum up what is old."""
        if row is None:
            return False
        self._took_s = row[0]
        self._counts += 1
        return self._counts % _ROLLUP_EVERY == 1
