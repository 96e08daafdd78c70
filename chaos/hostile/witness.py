"""Define the tasks that follow each hostile task and return what they find."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async

from chaos import ledger
from chaos.hostile.slot_state import database_state, process_state
from taskmaster import task

#: Environment variables that differ between two workers of the same executor.
_OF_ONE_WORKER = (ledger.VARIABLE, "TASKMASTER_SHELL_TASKS")


@task
def observe() -> dict[str, Any]:
    """Return everything that a task may rely on."""
    return _without_worker(process_state()) | database_state()


@task
async def observe_async() -> dict[str, Any]:
    """Do the same in a coroutine."""
    return _without_worker(process_state()) | await sync_to_async(database_state)()


def _without_worker(state: dict[str, Any]) -> dict[str, Any]:
    prefixes = tuple(f"{name}=" for name in _OF_ONE_WORKER)
    environ = [each for each in state["environ"] if not each.startswith(prefixes)]
    return state | {"environ": environ}
