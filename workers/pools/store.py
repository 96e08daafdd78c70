"""Runs the statements about pools for the reconciler."""

from __future__ import annotations

from typing import NamedTuple

from tasks.statements import statement
from tasks.store import Connection
from workers.pools.provider import Wanted

_SQL = "workers.sql"


class Findings(NamedTuple):
    """What was found of a pool, and what follows."""

    actual: int
    registered: int
    draining: int
    state: str
    error: str
    last_log: str
    failures: int
    #: Until the next try, negative when it is due; None: nothing has failed.
    retry_in_s: float | None


class Pool(NamedTuple):
    """A pool's row. Times are seconds by the database's clock."""

    name: str
    provider: str
    desired: int
    concurrency: int
    kind: str
    queues: list[str]
    environment: dict[str, str]
    stop_limit_s: float
    found: Findings
    #: Since it was looked at last; None: never.
    age_s: float | None
    #: Workers that are registered and shall stay.
    staying: int


def wanted(pool: Pool, count: int | None = None) -> Wanted:
    """The pool as a provider sees it; `count` in place of what is desired."""
    argv = ["--pool-name", pool.name, "--pool", pool.kind, "--concurrency", str(pool.concurrency)]
    if pool.queues:
        # One word: a queue's name may begin with a dash.
        argv.append(f"--queues={','.join(pool.queues)}")
    return Wanted(
        pool.name,
        pool.desired if count is None else count,
        tuple(argv),
        pool.environment,
        pool.stop_limit_s,
    )


async def pools(connection: Connection) -> list[Pool]:
    """Every pool."""
    cursor = await connection.execute(statement("pools", _SQL))
    rows = await cursor.fetchall()
    return [Pool._make([*row[:8], Findings._make(row[8:16]), *row[16:]]) for row in rows]


async def write(connection: Connection, pool: Pool, findings: Findings) -> None:
    """Writes what was found, unless something else is desired by now."""
    parameters = {**findings._asdict(), "name": pool.name, "desired": pool.desired}
    await connection.execute(statement("pool_found", _SQL), parameters)
