"""Set the size of the batches that delete old rows, and the pauses between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from taskmaster.coordinator.support.database import Database
from taskmaster.tasks.statements import Connection

#: Maximum number of rows that one statement examines or deletes. It takes a few milliseconds, and
#: holds one of the coordinator's connections for no longer.
BATCH: Final = 500
#: Seconds between two passes, and first and longest back-off after a database error.
INTERVAL_S: Final = 60.0
RETRY_S: Final = (1.0, INTERVAL_S)
#: Shortest pause after a batch in seconds, and the pause as a multiple of the batch's duration. So
#: pruning takes at most a twentieth of one connection's time, whatever else the database does.
_PAUSE_S: Final = 0.01
_PAUSE_SHARE: Final = 19.0


class Batches:
    """Run the batches of all tables one at a time, on the connections of one coordinator.

    Claims and reports have the other connections for themselves.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def next(self) -> AsyncIterator[Connection]:
        """Yield a connection for one batch. Pause after it, without the connection.

        Raises the errors in OUTAGE_ERRORS.
        """
        async with self._lock, self._database.connection() as connection:
            started_at = time.monotonic()
            yield connection
            took_s = time.monotonic() - started_at
        await asyncio.sleep(max(_PAUSE_S, _PAUSE_SHARE * took_s))
