"""Test the recycling of children: which child gets an attempt, and when a child ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from taskmaster.workers.daemon.attempt import Attempt, Ending
from taskmaster.workers.daemon.messages import Succeeded
from taskmaster.workers.daemon.resources.memory_limit import MemoryWatch
from taskmaster.workers.daemon.slots import PythonSlots
from taskmaster.workers.daemon.slots.child import ChildConnection
from taskmaster.workers.daemon.slots.process import ProcessSlots
from taskmaster.workers.daemon.slots.shared_child import SharedSlots
from tests.workers.daemon.sample import an_attempt
from tests.workers.daemon.slots.server import Server


class Bench:
    """Hold slots on a fork server without processes."""

    def __init__(self, executor: str, slots: int, max_tasks: int | None = None) -> None:
        self.server = Server()
        self.ends: list[tuple[Attempt, Ending]] = []
        ways: Any = (lambda *end: self.ends.append(end), lambda *_: False, max_tasks)
        server: Any = self.server
        self.slots: PythonSlots = (
            ProcessSlots(server, slots, *ways)
            if executor == "process"
            else SharedSlots(server, executor, slots, *ways)
        )
        self.slots.open()

    def begin(self) -> Attempt:
        attempt = an_attempt()
        self.slots.begin(attempt)
        return attempt

    def child_of(self, attempt: Attempt) -> ChildConnection:
        [child] = [each for each in self.server.children if attempt.id in each.attempts]
        return child

    def end(self, attempt: Attempt) -> None:
        child = self.child_of(attempt)
        child._on_report(child, Succeeded(attempt.id, 1, 2, ""))


EXECUTORS = pytest.mark.parametrize("executor", ["process", "thread", "async"])


@EXECUTORS
async def test_the_replacement_is_forked_before_the_last_task_ends(executor: str) -> None:
    bench = Bench(executor, 1, max_tasks=2)
    first = bench.begin()
    bench.slots.flush()
    bench.end(first)
    assert bench.server.requests == [("fork", 1)]
    last = bench.begin()
    bench.slots.flush()
    assert bench.server.requests == [("fork", 1), ("fork", 2)]
    bench.end(last)
    assert bench.server.requests == [("fork", 1), ("fork", 2), ("kill", 1)]
    next_one = bench.begin()
    bench.slots.flush()
    assert bench.server.received(1) == [first.id, last.id]
    assert bench.server.received(2) == [next_one.id]
    assert [type(ending) for _, ending in bench.ends] == [Succeeded, Succeeded]


@EXECUTORS
async def test_attempts_that_come_together_each_reach_their_child(executor: str) -> None:
    bench = Bench(executor, 4, max_tasks=1)
    attempts = [bench.begin() for _ in range(4)]
    bench.slots.flush()
    children = [bench.child_of(each) for each in attempts]
    assert len({child.id for child in children}) == 4
    for attempt, child in zip(attempts, children, strict=True):
        assert bench.server.received(child.id) == [attempt.id]
    for attempt in attempts:
        bench.end(attempt)
    killed = {number for what, number in bench.server.requests if what == "kill"}
    assert killed == {child.id for child in children}
    assert len(list(bench.slots.children)) == (4 if executor == "process" else 1)


@EXECUTORS
async def test_a_recycled_child_ends_with_the_last_of_its_attempts(executor: str) -> None:
    bench = Bench(executor, 2)
    attempts = [bench.begin() for _ in range(2)]
    bench.slots.flush()
    for child in list(bench.slots.children):
        bench.slots.recycle(child)
    assert not [each for each in bench.server.requests if each[0] == "kill"]
    for attempt in attempts:
        bench.end(attempt)
    killed = {number for what, number in bench.server.requests if what == "kill"}
    assert killed == ({1, 2} if executor == "process" else {1})
    assert not killed & {child.id for child in bench.slots.children}


@EXECUTORS
async def test_an_idle_child_is_killed_when_its_replacement_is_forked(executor: str) -> None:
    bench = Bench(executor, 1)
    [child] = bench.slots.children
    bench.slots.recycle(child)
    assert bench.server.requests == [("fork", 1), ("fork", 2), ("kill", 1)]
    bench.slots.recycle(child)
    assert bench.server.requests == [("fork", 1), ("fork", 2), ("kill", 1)]


@EXECUTORS
async def test_a_stopping_worker_recycles_no_child(executor: str) -> None:
    bench = Bench(executor, 1, max_tasks=1)
    bench.slots.close()
    attempt = bench.begin()
    bench.slots.flush()
    bench.end(attempt)
    assert bench.server.requests == [("fork", 1)]


async def test_a_time_out_in_a_recycled_child_forks_no_second_replacement() -> None:
    bench = Bench("process", 2, max_tasks=1)
    attempt = bench.begin()
    bench.slots.stop(attempt, 1.0)
    assert bench.server.requests == [("fork", 1), ("fork", 2), ("fork", 3), ("kill", 1)]


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set the memory of each process in MiB."""
    looks: list[int] = []

    def set_mb(megabytes: int) -> None:
        monkeypatch.setattr(
            "taskmaster.workers.daemon.resources.memory_limit.rss_bytes",
            lambda _: looks.append(1) or megabytes * 2**20,
        )

    set_mb.looks = looks  # type: ignore[attr-defined]
    return set_mb


@EXECUTORS
async def test_only_children_that_have_run_an_attempt_are_checked(
    executor: str, memory: Any
) -> None:
    bench = Bench(executor, 1)
    watch = MemoryWatch(bench.slots, bench.server, 100)  # type: ignore[arg-type]
    memory(200)
    watch.check()
    assert not memory.looks
    memory(100)
    attempt = bench.begin()
    watch.check()
    watch.check()
    bench.end(attempt)
    assert len(memory.looks) == 2
    bench.end(bench.begin())
    watch.check()
    watch.check()
    assert len(memory.looks) == 3
    assert bench.server.requests == [("fork", 1)]
    memory(101)
    bench.end(bench.begin())
    watch.check()
    assert bench.server.requests == [("fork", 1), ("fork", 2), ("kill", 1)]


async def test_a_dead_child_is_not_recycled(memory: Any) -> None:
    bench = Bench("thread", 1)
    watch = MemoryWatch(bench.slots, bench.server, 100)  # type: ignore[arg-type]
    memory(200)
    bench.begin()
    bench.server.pids.clear()
    watch.check()
    assert bench.server.requests == [("fork", 1)]
