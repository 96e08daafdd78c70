"""Store the processes of the `local` provider in the database.

A coordinator that takes over finds every process there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from uuid import UUID

from taskmaster.tasks.statements import Connection
from taskmaster.workers.store import pool_store as store
from taskmaster.workers.store.pool_store import LocalMember, StartedMember

Connect = Callable[[], AbstractAsyncContextManager[Connection]]


class LocalMembers:
    """Run each statement about pool members on a connection of the coordinator's pool."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    async def list_members(self, pool: str) -> list[LocalMember]:
        """Return all members of a pool, oldest first."""
        async with self._connect() as connection:
            return await store.list_members(connection, pool)

    async def reserve(self, pool: str, host: str, logs: Mapping[str, str]) -> dict[str, int]:
        """Insert rows for processes that will be started. Return their ids by name.

        `logs` holds the log path of each name.
        """
        async with self._connect() as connection:
            return await store.reserve_members(connection, pool, host, logs)

    async def record_started(self, started: Sequence[StartedMember]) -> None:
        """Record the pids of started processes."""
        async with self._connect() as connection:
            await store.record_started_members(connection, started)

    async def mark_stopping(self, ids: Sequence[int]) -> set[int]:
        """Record that these processes are asked to stop.

        Return the ids that were not asked before.
        """
        async with self._connect() as connection:
            return await store.mark_members_stopping(connection, ids)

    async def list_commanded(self, ids: Sequence[int]) -> set[int]:
        """Return the ids of the processes whose workers an operator had asked to drain or stop."""
        async with self._connect() as connection:
            return await store.list_commanded_members(connection, ids)

    async def stop_replaced(self, ids: Sequence[int]) -> None:
        """Make the workers of these members stop if they reconnect.

        Other workers are started in their place.
        """
        async with self._connect() as connection:
            await store.stop_replaced_workers(connection, ids)

    async def delete(self, ids: Sequence[int]) -> None:
        """Delete the rows of processes that are gone."""
        async with self._connect() as connection:
            await store.delete_members(connection, ids)

    async def stop(self, worker_id: UUID) -> None:
        """Stop a worker through its coordinator, as `taskmaster.workers.operations.stop` does."""
        async with self._connect() as connection:
            await store.request_worker_command(connection, worker_id, "stop")
