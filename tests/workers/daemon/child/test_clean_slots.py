"""Test that a task never notices what an earlier task did to its slot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chaos.hostile import sessions  # noqa: F401 - registers its tasks
from chaos.hostile.tasks import ANY, HOSTILE
from tests.waiting import until
from tests.workers.daemon.child.slots_bench import MODULE, RunningSlots, running_slots

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("child_environment"),
]
#: Executors, and which of the hostile tasks each of them runs: every one or every fourth.
SHARED = [
    ("thread", 4),
    ("async", 4),
    pytest.param("thread", 1, marks=pytest.mark.long),
    pytest.param("async", 1, marks=pytest.mark.long),
]


async def observe(slots: RunningSlots, task: str, number: int) -> dict[str, Any]:
    """Run a well-behaved task. Its output must be complete, and its state is returned."""
    attempt = slots.start(task, number)
    state: dict[str, Any] = await slots.result(attempt)
    log = f"INFO {MODULE}: log {number}\n"
    printed = dict(slots.printed.pop(attempt.id, {}))
    assert printed == {"stdout": f"out {number} äöü\n", "stderr": f"err {number}\n", "log": log}
    return state


@pytest.mark.parametrize(("executor", "every"), [("process", 1), *SHARED])
async def test_a_task_finds_the_slot_as_the_first_one_did(executor: str, every: int) -> None:
    async with running_slots(executor) as slots:
        tasks = ("behave", "behave_async")
        first = {task: await observe(slots, task, -1) for task in tasks}
        for number, (hostile, expected, _) in enumerate(HOSTILE[::every]):
            outcome = await slots.outcome(hostile)
            assert expected == ANY or outcome == expected, (hostile, outcome)
            for task in tasks:
                assert await observe(slots, task, number) == first[task], hostile


@pytest.mark.parametrize(("executor", "every"), SHARED)
async def test_tasks_that_follow_a_change_get_a_new_child_while_others_run(
    executor: str, every: int, tmp_path: Path
) -> None:
    async with running_slots(executor, 3) as slots:
        tasks = ("behave", "behave_async")
        first = {task: await observe(slots, task, -1) for task in tasks}
        for number, (hostile, expected, fatal) in enumerate(HOSTILE[every // 4 :: every]):
            if fatal:
                continue
            path = tmp_path / hostile
            wait = "wait" if executor == "thread" else "wait_async"
            neighbour = slots.start(wait, str(path))
            outcome = await slots.outcome(hostile)
            assert expected == ANY or outcome == expected, (hostile, outcome)
            for task in tasks:
                assert await observe(slots, task, number) == first[task], hostile
            path.touch()
            assert await slots.result(neighbour) == "waited", hostile


async def test_a_thread_that_stays_changes_nothing_for_the_next_task(tmp_path: Path) -> None:
    async with running_slots("process") as slots:
        first = await observe(slots, "behave", 0)
        path = tmp_path / "go"
        await slots.run("change_state_later", str(path))
        path.touch()
        await until(lambda: not path.exists())
        assert await observe(slots, "behave", 1) == first
