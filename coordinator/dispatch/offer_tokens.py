"""Sign offers and check the tokens by which workers prove that they got an offer.

A worker may accept, report, hand back or announce an execution only with the token of its offer.
Otherwise a worker could take over executions of others, because ids of tasks can be guessed. The
token is a keyed hash of task, lease and worker id. The keys are rows that all coordinators share.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Set
from struct import Struct
from uuid import UUID

from taskmaster.coordinator import store
from taskmaster.coordinator.support.database import OUTAGE_ERRORS, Database
from taskmaster.tasks.backoff import run_every
from taskmaster.tasks.messages import Lease
from taskmaster.tasks.statements import Connection

log = logging.getLogger(__name__)

#: Sizes in bytes. A message with a 40-byte command and its token stays below 150 bytes.
_TOKEN, _KEY = 16, 32
#: Age at which a key gets a successor. The token of an execution stays valid for one more period,
#: so the period is longer than the longest time-out of a task, 30 days.
ROTATION_S = 35 * 86_400.0
#: Interval at which the keys are read again.
_READ_S = 3_600.0
#: Shortest time between two reads because of an unknown token.
_MISS_S = 1.0
_EXECUTION = Struct("<qq")


class OfferTokens:
    """Keep the newest key, which signs, and its predecessor, which is still accepted."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        #: Keyed hash objects, the newest generation first. A copy of one costs less than a new one.
        self._hashes: list[hashlib.blake2b] = []
        self._read_at = 0.0
        self._reading = asyncio.Lock()

    # ---- tokens -----------------------------------------------------------------------------

    def sign(self, worker_id: UUID, task_id: int, lease: int) -> bytes:
        """Return the token of an offer to a worker."""
        return _digest(self._hashes[0], worker_id, task_id, lease)

    def is_valid(self, worker_id: UUID, lease: Lease, token: bytes) -> bool:
        """Return whether this is the token of an offer of `lease` to the worker."""
        if len(token) != _TOKEN:
            return False
        return any(
            secrets.compare_digest(token, _digest(each, worker_id, *lease)) for each in self._hashes
        )

    async def are_valid(
        self, worker_id: UUID, named: Set[tuple[Lease, bytes]]
    ) -> set[tuple[Lease, bytes]]:
        """Return the subset of pairs of lease and token that are valid.

        An unknown token may have the key of another coordinator, which is then read. Raises the
        errors in OUTAGE_ERRORS.
        """
        valid = {each for each in named if self.is_valid(worker_id, *each)}
        if len(valid) == len(named):
            return valid
        async with self._reading:
            if self._clock() - self._read_at >= _MISS_S:
                async with self._database.connection() as connection:
                    await self.read(connection)
        return {each for each in named if self.is_valid(worker_id, *each)}

    # ---- keys -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Read the keys periodically, and create a new one when the newest is old."""
        await run_every(
            _READ_S,
            self._rotate,
            retry_on=OUTAGE_ERRORS,
            on_error=lambda error: log.warning("offer keys not read", extra={"error": str(error)}),
        )

    async def _rotate(self) -> None:
        async with self._database.connection() as connection:
            await self.rotate(connection)

    async def rotate(self, connection: Connection) -> None:
        """Create a key if there is none or the newest is old, and read the keys."""
        await store.create_offer_key(connection, secrets.token_bytes(_KEY), older_s=ROTATION_S)
        await store.delete_old_offer_keys(connection)
        await self.read(connection)

    async def read(self, connection: Connection) -> None:
        """Read the two newest keys."""
        self._read_at = self._clock()
        keys = await store.list_offer_keys(connection)
        self._hashes = [hashlib.blake2b(key=key, digest_size=_TOKEN) for key in keys]


def _digest(keyed: hashlib.blake2b, worker_id: UUID, task_id: int, lease: int) -> bytes:
    found = keyed.copy()
    found.update(_EXECUTION.pack(task_id, lease) + worker_id.bytes)
    return found.digest()
