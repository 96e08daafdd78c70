"""Test that the size of a pool follows a recorded load, with short waits and few reversals."""

from __future__ import annotations

import csv
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from taskmaster.workers.pools.autoscale import Autoscaler, LoadSample, ScalingPolicy

#: Number of tasks submitted in each ten seconds of an hour, and their mean run time in seconds,
#: recorded from TaskMaster. The load rises and falls, with noise and two bursts.
_RECORDED = Path(__file__).with_name("load.csv")
_POLICY = ScalingPolicy(minimum=1, maximum=40, concurrency=4, target_wait_s=10, cool_down_s=60)
#: Seconds from the decision to start a worker until its first task.
_START_S = 3
_MEASURE_EVERY_S = 5


@dataclass
class Simulation:
    """Simulate a pool of workers under a load, in steps of one second."""

    policy: ScalingPolicy = _POLICY
    workers: int = 1
    waits: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def play(self, arrivals: list[tuple[int, float]], seconds: int) -> Simulation:
        """Run the load. `arrivals` holds the number of tasks and their run time for each second."""
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
            # Stopping workers finish their running tasks, so only free slots are removed.
            while queue and len(running) < self.workers * self.policy.concurrency:
                at, length = queue.popleft()
                self.waits.append(now - at)
                running.append(now + max(1.0, length))
            if now % _MEASURE_EVERY_S == 0:
                oldest = now - queue[0][0] if queue else 0.0
                load = LoadSample(now, len(queue), oldest, len(running), ended)
                needed = scaler.decide(self.policy, desired, load)
                if needed > desired:
                    starting += [now + _START_S] * (needed - desired)
                elif needed < desired:
                    self.workers = min(self.workers, needed)
                    starting = starting[: max(0, needed - self.workers)]
                desired = needed
            self.sizes.append(desired)
        self.left = len(queue)
        return self

    @property
    def reversals(self) -> int:
        """Return how often the pool changed between growing and shrinking."""
        steps = [b - a for a, b in pairwise(self.sizes) if a != b]
        return sum(1 for a, b in pairwise(steps) if a * b < 0)


def _recorded() -> list[tuple[int, float]]:
    seconds: list[tuple[int, float]] = []
    with _RECORDED.open() as file:
        for row in csv.DictReader(file):
            count, run_s = int(row["submitted"]), float(row["mean_run_s"])
            # Distribute the tasks evenly over their ten seconds.
            seconds += [((i + 1) * count // 10 - i * count // 10, run_s) for i in range(10)]
    return seconds


def test_over_a_recorded_hour_the_wait_stays_near_the_target_without_flapping() -> None:
    load = _recorded()
    run = Simulation().play(load, len(load) + 600)
    assert run.left == 0
    waits = sorted(run.waits)
    assert len(waits) == sum(count for count, _ in load)
    # Two bursts are excluded: a sixth of all tasks, which the largest pool cannot clear within the
    # target.
    assert waits[int(0.82 * len(waits))] <= _POLICY.target_wait_s
    assert waits[-1] <= 5 * _POLICY.target_wait_s
    # Far fewer worker seconds than a pool of the peak size.
    used = sum(run.sizes[: len(load)])
    assert used < 0.6 * max(run.sizes) * len(load)
    # The pool follows changes that take minutes, but not noise.
    assert run.reversals <= len(load) / 120
    # No tasks arrive at the end.
    assert run.sizes[-1] == _POLICY.minimum


def test_a_steady_load_does_not_change_the_size() -> None:
    # Eight tasks per second of two seconds each need 16 slots: 80 % of five workers.
    run = Simulation(workers=5).play([(8, 2.0)] * 1_200, 1_200)
    assert set(run.sizes) == {5}
    assert max(run.waits) <= 1


def test_a_burst_grows_the_pool_to_its_maximum_and_no_further() -> None:
    policy = ScalingPolicy(minimum=0, maximum=7, concurrency=2, target_wait_s=5, cool_down_s=30)
    run = Simulation(policy, workers=0).play([(2_000, 3.0)], 900)
    assert max(run.sizes) == 7
    assert run.left == 0
    assert run.sizes[-1] == 0


def test_the_pool_doubles_while_no_task_has_ended() -> None:
    scaler = Autoscaler()
    sizes = [2]
    for at in range(0, 60, 5):
        # Long tasks: all slots are busy, and no task ends.
        load = LoadSample(at, due=500, oldest_wait_s=at, busy=sizes[-1] * 4, ended=0)
        sizes.append(scaler.decide(_POLICY, sizes[-1], load))
    grown = sorted(set(sizes))
    assert grown[:3] == [2, 4, 8]
    assert sizes[-1] == _POLICY.maximum


def test_the_pool_shrinks_only_after_a_whole_cool_down_of_low_load() -> None:
    scaler, desired = Autoscaler(), 13
    idle_since = 100
    for at in range(0, 300, 5):
        load = LoadSample(at, due=0, oldest_wait_s=0, busy=40 if at < idle_since else 0, ended=at)
        desired = scaler.decide(_POLICY, desired, load)
        assert desired == 13 or at >= idle_since + _POLICY.cool_down_s
    assert desired == _POLICY.minimum


@pytest.mark.parametrize(("desired", "expected"), [(0, 1), (60, 40)])
def test_a_size_outside_the_bounds_is_corrected(desired: int, expected: int) -> None:
    load = LoadSample(0, due=0, oldest_wait_s=0, busy=0, ended=0)
    assert Autoscaler().decide(_POLICY, desired, load) == expected
