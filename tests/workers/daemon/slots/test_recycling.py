"""When a child is recycled: who gets what, and in which order."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.workers.daemon.sample import an_attempt
from workers.daemon import wire
from workers.daemon.attempt import Attempt, Broken, Returned
from workers.daemon.memory import MemoryWatch
from workers.daemon.slots import PythonSlots
from workers.daemon.slots.child import Child
from workers.daemon.slots.process import ProcessSlots
from workers.daemon.slots.shared import SharedSlots


class Server:
    """Forks nobody: keeps the ends of the children."""

    pid = os.getpid()

    def __init__(self) -> None:
        self.children: list[Child] = []
        self.said: list[tuple[str, int]] = []
        self.pids: dict[int, int] = {}
        self._ends: list[socket.socket] = []

    def fork(self, child: Child, kind: str, slots: int, end: int, *pipes: int) -> int:
        self.children.append(child)
        self._ends.append(socket.socket(fileno=end))
        for fd in pipes:
            os.close(fd)
        number = len(self.children)
        self.said.append(("fork", number))
        self.pids[number] = os.getpid()
        return number

    def kill(self, number: int, grace_s: float) -> None:
        self.said.append(("kill", number))

    def received(self, number: int) -> list[int]:
        """The ids of the attempts that a child was told to run."""
        child = self.children[number - 1]
        frames = wire.Decoder().feed(b"".join(child._early))
        return [message[1] for messages in frames for message in messages]


class Bench:
    """Slots with nobody behind them."""

    def __init__(self, pool: str, slots: int, max_tasks: int | None = None) -> None:
        self.server = Server()
        self.ends: list[tuple[Attempt, Returned | Broken]] = []
        ways: Any = (lambda *end: self.ends.append(end), lambda *_: False, max_tasks)
        server: Any = self.server
        self.slots: PythonSlots = (
            ProcessSlots(server, slots, *ways)
            if pool == "process"
            else SharedSlots(server, pool, slots, *ways)
        )
        self.slots.open()

    def begin(self) -> Attempt:
        attempt = an_attempt()
        self.slots.begin(attempt)
        return attempt

    def child_of(self, attempt: Attempt) -> Child:
        [child] = [each for each in self.server.children if attempt.id in each.attempts]
        return child

    def end(self, attempt: Attempt) -> None:
        child = self.child_of(attempt)
        child._on_message(child, ["done", attempt.id, 1, 2, ""])


POOLS = pytest.mark.parametrize("pool", ["process", "threads", "async"])


@POOLS
async def test_the_replacement_is_there_before_the_last_task_has_ended(pool: str) -> None:
    bench = Bench(pool, 1, max_tasks=2)
    first = bench.begin()
    bench.slots.flush()
    bench.end(first)
    assert bench.server.said == [("fork", 1)]
    last = bench.begin()
    bench.slots.flush()
    assert bench.server.said == [("fork", 1), ("fork", 2)]
    bench.end(last)
    assert bench.server.said == [("fork", 1), ("fork", 2), ("kill", 1)]
    next_one = bench.begin()
    bench.slots.flush()
    assert bench.server.received(1) == [first.id, last.id]
    assert bench.server.received(2) == [next_one.id]
    assert [type(ending) for _, ending in bench.ends] == [Returned, Returned]


@POOLS
async def test_attempts_that_come_together_each_reach_their_child(pool: str) -> None:
    bench = Bench(pool, 4, max_tasks=1)
    attempts = [bench.begin() for _ in range(4)]
    bench.slots.flush()
    children = [bench.child_of(each) for each in attempts]
    assert len({child.id for child in children}) == 4
    for attempt, child in zip(attempts, children, strict=True):
        assert bench.server.received(child.id) == [attempt.id]
    for attempt in attempts:
        bench.end(attempt)
    killed = {number for what, number in bench.server.said if what == "kill"}
    assert killed == {child.id for child in children}
    assert len(list(bench.slots.children)) == (4 if pool == "process" else 1)


@POOLS
async def test_a_recycled_child_ends_with_the_last_of_its_attempts(pool: str) -> None:
    bench = Bench(pool, 2)
    attempts = [bench.begin() for _ in range(2)]
    bench.slots.flush()
    for child in list(bench.slots.children):
        bench.slots.recycle(child)
    assert not [each for each in bench.server.said if each[0] == "kill"]
    for attempt in attempts:
        bench.end(attempt)
    killed = {number for what, number in bench.server.said if what == "kill"}
    assert killed == ({1, 2} if pool == "process" else {1})
    assert not killed & {child.id for child in bench.slots.children}


@POOLS
async def test_an_idle_child_goes_at_once_when_another_is_there(pool: str) -> None:
    bench = Bench(pool, 1)
    [child] = bench.slots.children
    bench.slots.recycle(child)
    assert bench.server.said == [("fork", 1), ("fork", 2), ("kill", 1)]
    bench.slots.recycle(child)
    assert bench.server.said == [("fork", 1), ("fork", 2), ("kill", 1)]


@POOLS
async def test_a_worker_that_stops_recycles_nobody(pool: str) -> None:
    bench = Bench(pool, 1, max_tasks=1)
    bench.slots.close()
    attempt = bench.begin()
    bench.slots.flush()
    bench.end(attempt)
    assert bench.server.said == [("fork", 1)]


async def test_a_time_out_in_a_recycled_child_forks_no_second_replacement() -> None:
    bench = Bench("process", 2, max_tasks=1)
    attempt = bench.begin()
    bench.slots.stop(attempt, 1.0)
    assert bench.server.said == [("fork", 1), ("fork", 2), ("fork", 3), ("kill", 1)]


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Says how many MiB each process takes."""
    looks: list[int] = []

    def set_mb(megabytes: int) -> None:
        monkeypatch.setattr(
            "workers.daemon.memory.rss_bytes", lambda _: looks.append(1) or megabytes * 2**20
        )

    set_mb.looks = looks  # type: ignore[attr-defined]
    return set_mb


@POOLS
async def test_only_children_that_have_run_something_are_looked_at(pool: str, memory: Any) -> None:
    bench = Bench(pool, 1)
    watch = MemoryWatch(bench.slots, bench.server, 100)  # type: ignore[arg-type]
    memory(200)
    watch.look()
    assert not memory.looks
    memory(100)
    attempt = bench.begin()
    watch.look()
    watch.look()
    bench.end(attempt)
    assert len(memory.looks) == 2
    bench.end(bench.begin())
    watch.look()
    watch.look()
    assert len(memory.looks) == 3
    assert bench.server.said == [("fork", 1)]
    memory(101)
    bench.end(bench.begin())
    watch.look()
    assert bench.server.said == [("fork", 1), ("fork", 2), ("kill", 1)]


async def test_a_child_that_is_gone_is_let_be(memory: Any) -> None:
    bench = Bench("threads", 1)
    watch = MemoryWatch(bench.slots, bench.server, 100)  # type: ignore[arg-type]
    memory(200)
    bench.begin()
    bench.server.pids.clear()
    watch.look()
    assert bench.server.said == [("fork", 1)]
