"""Test that tasks use the ORM after PostgreSQL restarted, moved or vanished."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.workers.daemon.child.moving_database import moving_database
from tests.workers.daemon.child.slots_bench import running_slots

pytestmark = pytest.mark.usefixtures("child_environment")
TASKS = ("count_users", "count_users_async")


@pytest.mark.parametrize(
    "executor", ["process", "async", pytest.param("thread", marks=pytest.mark.long)]
)
async def test_no_later_attempt_fails_after_the_database_is_back(
    executor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with moving_database(tmp_path) as database:
        monkeypatch.setenv("DATABASE_URL", database.url)

        async def vanish() -> None:
            database.forwarder.forget()

        # What happens, whether an attempt with an open session is running, and the users after it.
        outages: list[tuple[Callable[[], Awaitable[None]], bool, int]] = [
            (database.restart, True, 0),
            (database.restart, False, 0),
            (vanish, True, 0),
            (vanish, False, 0),
            (database.fail_over, True, 1),
        ]
        async with running_slots(executor) as slots:
            for number, (outage, busy, users) in enumerate(outages):
                for task in TASKS:
                    await slots.run(task)
                if busy:
                    path = tmp_path / str(number)
                    running = slots.start("count_before_and_after", str(path))
                    await slots.until_printed(running, "counted")
                    await outage()
                    path.touch()
                    # It lost the session in which it had started, as in any Django process.
                    await slots.end(running)
                else:
                    await outage()
                for task in (*TASKS, *reversed(TASKS)):
                    assert await slots.run(task) == users, (outage, busy, task)
