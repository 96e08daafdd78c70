"""Which workers a coordinator remembers when there are very many."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from coordinator.links import Link
from coordinator.service.gate import Gate

MANY = 1_500


async def test_of_very_many_workers_those_that_are_there_are_never_forgotten() -> None:
    nobody: Any = None
    gate = Gate(nobody, nobody, tokens=False)
    links = [Link(UUID(int=number), "w", None, 1) for number in range(MANY)]
    for number, link in enumerate(links):
        gate.remember(link)
        link.closed = bool(number % 2)
    known = [await gate.known(str(link.worker_id), nobody) for link in links]
    there = [link for link in links if not link.closed]
    assert [link for link in known if link is not None and not link.closed] == there
    assert sum(link is not None for link in known) == 1_000
