"""Run the statements on policies that a coordinator needs, on its own connections."""

from __future__ import annotations

from taskmaster.tasks.policy_messages import ActivePause
from taskmaster.tasks.statements import Connection, statement


async def list_pauses(connection: Connection) -> list[ActivePause]:
    """Return what is paused."""
    cursor = await connection.execute(statement("list_pauses"))
    return [ActivePause._make(row) for row in await cursor.fetchall()]
