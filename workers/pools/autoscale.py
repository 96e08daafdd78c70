"""How many workers a pool needs: from what waits, what runs, and how long a task takes.

By Little's law a task holds a slot for (slot-seconds worked) / (tasks ended) on average. What runs
needs the slots it has, with some air; what waits needs as many more as clear it within the target.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

#: Slots are to be busy for this share of the time: beyond it waiting times grow fast.
_BUSY_SHARE = 0.8
#: The mean time that a task holds a slot is taken over the looks of so many seconds.
_MEAN_OVER_S = 30.0
#: A step up is followed by another only after this time: new workers must be felt first.
_STEP_S = 10.0


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator has set for a pool."""

    minimum: int
    maximum: int
    #: Slots of a worker.
    concurrency: int
    #: Seconds that a due task may wait for a worker.
    target_wait_s: float
    #: Seconds for which fewer workers must have been enough before any are taken away.
    cool_down_s: float


@dataclass(frozen=True, slots=True)
class Load:
    """A look at the queues and the workers of a pool."""

    #: Seconds of a clock that only goes on.
    at: float
    #: Tasks whose time has come and that no worker has been given.
    due: int
    #: How long the oldest of them has been waiting.
    oldest_wait_s: float
    #: Slots in which a task runs.
    busy: int
    #: Tasks that the workers have ended so far.
    ended: int


class Autoscaler:
    """Decides for one pool; remembers the looks of the last minutes."""

    def __init__(self) -> None:
        self._loads: deque[Load] = deque()
        #: (at, workers needed then).
        self._needs: deque[tuple[float, int]] = deque()
        self._began_at = float("inf")
        self._changed_at = float("-inf")

    def decide(self, policy: Policy, desired: int, load: Load) -> int:
        """The number of workers the pool should have now, within its bounds."""
        self._look(policy, load)
        needed = self._needed(policy, desired, load)
        self._needs.append((load.at, needed))
        quiet_s = load.at - max(self._began_at, self._changed_at)
        chosen = desired
        if needed > desired:
            if load.at - self._changed_at >= _STEP_S:
                # At most twice as many: the figures of a pool that has just grown say little.
                chosen = min(needed, max(2 * desired, desired + 1))
        elif quiet_s >= policy.cool_down_s:
            # The looks of a whole cool-down are there, and all were taken at this size.
            chosen = min(desired, max(each for _, each in self._needs))
        chosen = max(policy.minimum, min(policy.maximum, chosen))
        if chosen != desired:
            self._changed_at = load.at
        return chosen

    def _look(self, policy: Policy, load: Load) -> None:
        self._began_at = min(self._began_at, load.at)
        self._loads.append(load)
        while load.at - self._loads[0].at > _MEAN_OVER_S:
            self._loads.popleft()
        while self._needs and load.at - self._needs[0][0] > policy.cool_down_s:
            self._needs.popleft()

    def _needed(self, policy: Policy, desired: int, load: Load) -> int:
        hold_s, slots = self._hold_s(), load.busy / _BUSY_SHARE
        if hold_s is not None:
            slots += load.due * hold_s / policy.target_wait_s
        else:
            # Nothing has ended yet, so nobody knows how long these tasks take: twice as many
            # workers, but not more slots than there are tasks.
            slots = max(slots, min(load.busy + load.due, 2 * policy.concurrency * desired))
        needed = ceil(slots / policy.concurrency)
        if load.due and load.oldest_wait_s > policy.target_wait_s:
            # Whatever the means say, it is not enough.
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
