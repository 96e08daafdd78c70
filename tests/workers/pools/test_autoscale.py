"""The size of a pool follows a recorded load: nobody waits for long, and nothing flaps."""

from __future__ import annotations

import csv
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from workers.pools.autoscale import Autoscaler, Load, Policy

#: Tasks submitted in each ten seconds of an hour, and their mean run time in seconds, as a run of
#: TaskMaster recorded them: a load that rises and falls, with noise and two campaigns.
_RECORDED = Path(__file__).with_name("load.csv")
_POLICY = Policy(minimum=1, maximum=40, concurrency=4, target_wait_s=10, cool_down_s=60)
#: How long a worker needs from the decision to its first task.
_START_S = 3
_LOOK_S = 5


@dataclass
class Run:
    """A pool of workers that run a load, second by second."""

    policy: Policy = _POLICY
    workers: int = 1
    waits: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def play(self, arrivals: list[tuple[int, float]], seconds: int) -> Run:
        """`arrivals`: for each second the number of tasks and how long each of them runs."""
        scaler, desired = Autoscaler(), self.workers
        queue: deque[tuple[int, float]] = deque()
        running: list[float] = []
        starting: list[int] = []
        ended = 0
        for now in range(seconds):
            count, run_s = arrivals[now] if now < len(arrivals) else (0, 0.0)
            queue.extend([(now, run_s)] * count)
            self.workers += sum(1 for at in starting if at == now)
            starting = [at for at in starting if at > now]
            still = [end for end in running if end > now]
            ended += len(running) - len(still)
            running = still
            # Those that are told to go finish what they run: only the free slots shrink.
            while queue and len(running) < self.workers * self.policy.concurrency:
                at, length = queue.popleft()
                self.waits.append(now - at)
                running.append(now + max(1.0, length))
            if now % _LOOK_S == 0:
                oldest = now - queue[0][0] if queue else 0.0
                load = Load(now, len(queue), oldest, len(running), ended)
                wanted = scaler.decide(self.policy, desired, load)
                if wanted > desired:
                    starting += [now + _START_S] * (wanted - desired)
                elif wanted < desired:
                    self.workers = min(self.workers, wanted)
                    starting = starting[: max(0, wanted - self.workers)]
                desired = wanted
            self.sizes.append(desired)
        self.left = len(queue)
        return self

    @property
    def reversals(self) -> int:
        """How often it turned from growing to shrinking or back."""
        steps = [b - a for a, b in pairwise(self.sizes) if a != b]
        return sum(1 for a, b in pairwise(steps) if a * b < 0)


def _recorded() -> list[tuple[int, float]]:
    seconds: list[tuple[int, float]] = []
    with _RECORDED.open() as file:
        for row in csv.DictReader(file):
            count, run_s = int(row["submitted"]), float(row["mean_run_s"])
            # They come evenly over their ten seconds.
            seconds += [((i + 1) * count // 10 - i * count // 10, run_s) for i in range(10)]
    return seconds


def test_over_a_recorded_hour_the_wait_stays_near_the_target_without_flapping() -> None:
    load = _recorded()
    run = Run().play(load, len(load) + 600)
    assert run.left == 0
    waits = sorted(run.waits)
    assert len(waits) == sum(count for count, _ in load)
    # But for two campaigns, which come all at once: a sixth of all tasks, and more than the largest
    # pool clears in the target.
    assert waits[int(0.82 * len(waits))] <= _POLICY.target_wait_s
    assert waits[-1] <= 5 * _POLICY.target_wait_s
    # Far fewer than the pool that carries the peak all the time.
    used = sum(run.sizes[: len(load)])
    assert used < 0.6 * max(run.sizes) * len(load)
    # A load that swings within minutes is followed, its noise is not.
    assert run.reversals <= len(load) / 120
    # Nothing comes any more.
    assert run.sizes[-1] == _POLICY.minimum


def test_a_steady_load_is_left_alone() -> None:
    # Eight tasks a second of two seconds each: sixteen slots, five workers at four fifths.
    run = Run(workers=5).play([(8, 2.0)] * 1_200, 1_200)
    assert set(run.sizes) == {5}
    assert max(run.waits) <= 1


def test_a_burst_grows_the_pool_to_its_maximum_and_no_further() -> None:
    policy = Policy(minimum=0, maximum=7, concurrency=2, target_wait_s=5, cool_down_s=30)
    run = Run(policy, workers=0).play([(2_000, 3.0)], 900)
    assert max(run.sizes) == 7
    assert run.left == 0
    assert run.sizes[-1] == 0


def test_before_anything_has_ended_the_pool_grows_by_doubling() -> None:
    scaler = Autoscaler()
    sizes = [2]
    for at in range(0, 60, 5):
        # Long tasks: all slots are busy, nothing ends.
        load = Load(at, due=500, oldest_wait_s=at, busy=sizes[-1] * 4, ended=0)
        sizes.append(scaler.decide(_POLICY, sizes[-1], load))
    grown = sorted(set(sizes))
    assert grown[:3] == [2, 4, 8]
    assert sizes[-1] == _POLICY.maximum


def test_fewer_workers_only_after_they_were_too_many_for_a_whole_cool_down() -> None:
    scaler, desired = Autoscaler(), 13
    idle_since = 100
    for at in range(0, 300, 5):
        load = Load(at, due=0, oldest_wait_s=0, busy=40 if at < idle_since else 0, ended=at)
        desired = scaler.decide(_POLICY, desired, load)
        assert desired == 13 or at >= idle_since + _POLICY.cool_down_s
    assert desired == _POLICY.minimum


@pytest.mark.parametrize(("desired", "expected"), [(0, 1), (60, 40)])
def test_what_lies_outside_the_bounds_is_brought_inside(desired: int, expected: int) -> None:
    load = Load(0, due=0, oldest_wait_s=0, busy=0, ended=0)
    assert Autoscaler().decide(_POLICY, desired, load) == expected
