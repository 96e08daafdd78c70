"""Test that children do not share the state of random generators."""

from __future__ import annotations

import pytest

from tests.workers.daemon.child.slots_bench import MODULES, running_slots

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("child_environment"),
]


async def test_children_draw_different_random_numbers() -> None:
    async with running_slots("process", 4) as slots:
        drawn = [await slots.run("draw") for _ in range(4)]
        attempts = [slots.start("draw") for _ in range(4)]
        drawn += [await slots.result(attempt) for attempt in attempts]
    assert len(set(drawn)) == 8


async def test_children_draw_different_numbers_from_each_generator_of_numpy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("numpy", reason="the package numpy is not installed")
    module = "tests.workers.daemon.child.numpy_tasks"
    monkeypatch.setenv("TASKMASTER_TASK_MODULES", ",".join([*MODULES, module]))
    async with running_slots("process", 4) as slots:
        attempts = [slots.start(f"{module}.draw_each") for _ in range(4)]
        drawn = [await slots.result(attempt) for attempt in attempts]
    for numbers in zip(*drawn, strict=True):
        assert len(set(numbers)) == 4, numbers
