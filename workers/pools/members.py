"""The `local` provider's memory, in the database: whoever takes over finds every process there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple
from uuid import UUID

from tasks.statements import statement
from tasks.store import Connection

_SQL = "workers.sql"

Connect = Callable[[], AbstractAsyncContextManager[Connection]]


class Member(NamedTuple):
    """A process, and what its worker says."""

    id: int
    name: str
    host: str
    #: None: it is being started, or whoever started it died meanwhile.
    pid: int | None
    born: int | None
    log_path: str
    age_s: float
    #: Since when it was told to go; None: it was not.
    asked_age_s: float | None
    #: None: not registered, or offline.
    worker_id: UUID | None
    worker_pid: int | None
    busy: int
    #: Its worker drains, or was told by an operator to go.
    leaving: bool


class Started(NamedTuple):
    """A process that has just begun."""

    id: int
    pid: int
    born: int


class Members:
    """Runs the statements about members."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    async def of(self, pool: str) -> list[Member]:
        """All of a pool, the oldest first."""
        return [Member._make(row) for row in await self._run("members", {"pool": pool})]

    async def reserve(self, pool: str, host: str, logs: Mapping[str, str]) -> dict[str, int]:
        """Rows for processes to be; their ids by name. `logs`: the path of each log by name."""
        parameters = {
            "pool": pool,
            "host": host,
            "names": list(logs),
            "log_paths": list(logs.values()),
        }
        return {name: ident for ident, name in await self._run("member_reserve", parameters)}

    async def started(self, started: Sequence[Started]) -> None:
        """Writes the pids."""
        ids, pids, borns = (list(column) for column in zip(*started, strict=True))
        await self._run("member_started", {"ids": ids, "pids": pids, "borns": borns})

    async def ask(self, ids: Sequence[int]) -> set[int]:
        """Notes that these are told to go; returns those that were not before."""
        return {ident for (ident,) in await self._run("member_ask", {"ids": list(ids)})}

    async def told(self, ids: Sequence[int]) -> set[int]:
        """Those of these that an operator had told to go."""
        return {ident for (ident,) in await self._run("member_told", {"ids": list(ids)})}

    async def replaced(self, ids: Sequence[int]) -> None:
        """Others are started in place of these, which shall stop if they come back."""
        await self._run("member_replaced", {"ids": list(ids)})

    async def forget(self, ids: Sequence[int]) -> None:
        """These are gone."""
        await self._run("member_forget", {"ids": list(ids)})

    async def stop(self, worker_id: UUID) -> None:
        """Tells a worker by its coordinator, as `workers.operations.stop` does."""
        await self._run("desire", {"id": worker_id, "wanted": "stop"})

    async def _run(self, name: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        async with self._connect() as connection:
            cursor = await connection.execute(statement(name, _SQL), parameters)
            return await cursor.fetchall() if cursor.description else []
