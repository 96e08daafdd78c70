"""Compute the number of workers that a pool needs.

The inputs are the waiting tasks, the busy slots and the time that a task holds a slot. By Little's
law a task holds a slot for (slot-seconds worked) / (tasks ended) on average. The busy slots are
needed with some reserve. The waiting tasks need enough additional slots to clear them within the
target wait.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

#: Target share of time in which slots are busy. Above it, waiting times grow fast.
_BUSY_SHARE = 0.8
#: The mean time that a task holds a slot is computed over this number of seconds.
_MEAN_OVER_S = 30.0
#: Minimum time between two increases. The effect of new workers must be visible first.
_STEP_S = 10.0


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """Hold the scaling settings of a pool."""

    minimum: int
    maximum: int
    #: Slots per worker.
    concurrency: int
    #: Seconds that a due task may wait for a worker.
    target_wait_s: float
    #: Seconds for which fewer workers must have been sufficient before the pool shrinks.
    cool_down_s: float


@dataclass(frozen=True, slots=True)
class LoadSample:
    """Hold one measurement of the queues and the workers of a pool."""

    #: Seconds of a monotonic clock.
    at: float
    #: Number of tasks that are due and not assigned to a worker.
    due: int
    #: Seconds that the oldest of these tasks has been waiting.
    oldest_wait_s: float
    #: Number of slots that run a task.
    busy: int
    #: Number of tasks that the workers have ended so far.
    ended: int


class Autoscaler:
    """Decide the size of one pool, based on the measurements of the last minutes."""

    def __init__(self) -> None:
        self._loads: deque[LoadSample] = deque()
        #: Pairs (at, number of workers needed then).
        self._needs: deque[tuple[float, int]] = deque()
        self._began_at = float("inf")
        self._changed_at = float("-inf")

    def decide(self, policy: ScalingPolicy, desired: int, load: LoadSample) -> int:
        """Return the number of workers that the pool should have now, within its bounds."""
        self._record(policy, load)
        needed = self._needed(policy, desired, load)
        self._needs.append((load.at, needed))
        quiet_s = load.at - max(self._began_at, self._changed_at)
        chosen = desired
        if needed > desired:
            if load.at - self._changed_at >= _STEP_S:
                # At most double: the figures of a pool that has just grown are not reliable yet.
                chosen = min(needed, max(2 * desired, desired + 1))
        elif quiet_s >= policy.cool_down_s:
            # The measurements cover a whole cool-down, and all were taken at the current size.
            chosen = min(desired, max(each for _, each in self._needs))
        chosen = max(policy.minimum, min(policy.maximum, chosen))
        if chosen != desired:
            self._changed_at = load.at
        return chosen

    def _record(self, policy: ScalingPolicy, load: LoadSample) -> None:
        self._began_at = min(self._began_at, load.at)
        self._loads.append(load)
        while load.at - self._loads[0].at > _MEAN_OVER_S:
            self._loads.popleft()
        while self._needs and load.at - self._needs[0][0] > policy.cool_down_s:
            self._needs.popleft()

    def _needed(self, policy: ScalingPolicy, desired: int, load: LoadSample) -> int:
        hold_s, slots = self._hold_s(), load.busy / _BUSY_SHARE
        if hold_s is not None:
            slots += load.due * hold_s / policy.target_wait_s
        else:
            # No task has ended yet, so the duration of these tasks is unknown. Double the workers,
            # but provide at most one slot per task.
            slots = max(slots, min(load.busy + load.due, 2 * policy.concurrency * desired))
        needed = ceil(slots / policy.concurrency)
        if load.due and load.oldest_wait_s > policy.target_wait_s:
            # Tasks wait longer than the target, so add a worker even if the averages suggest none.
            needed = max(needed, desired + 1)
        return max(needed, 1) if load.due or load.busy else needed

    def _hold_s(self) -> float | None:
        ended = self._loads[-1].ended - self._loads[0].ended
        if ended <= 0:
            return None
        worked = sum(
            (late.at - early.at) * (early.busy + late.busy) / 2
            for early, late in pairwise(self._loads)
        )
        return worked / ended
