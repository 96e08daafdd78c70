"""Test which hostile tasks are submitted."""

from __future__ import annotations

from collections import Counter

import pytest

from chaos import roster
from chaos.hostile.load import WITNESSES, HostileLoad, hostile_names


async def test_every_hostile_task_is_followed_by_witnesses_in_each_executor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[list[str]] = []
    monkeypatch.setattr(
        "chaos.hostile.load.submit_bulk",
        lambda fields: sent.append([f"{each['queue']} {each['name']}" for each in fields]),
    )
    names = hostile_names()
    await HostileLoad(names).run(0.0)
    for name, batch in zip(names, sent, strict=True):
        assert batch == [
            f"hostile-{executor} {each}"
            for executor in ("process", "thread", "async")
            for each in (name, *WITNESSES)
        ]


def test_the_set_has_at_least_forty_different_tasks() -> None:
    assert len(hostile_names()) >= 40
    assert set(Counter(hostile_names()).values()) == {1}


def test_each_hostile_queue_belongs_to_workers_of_its_executor() -> None:
    for executor, queue in roster.HOSTILE_QUEUES.items():
        workers = [each for each in roster.WORKERS if queue in each.queues]
        assert {each.executor for each in workers} == {executor}
        # Threads and coroutines share the state of their child with their neighbours.
        assert executor == "process" or {each.slots for each in workers} == {1}
