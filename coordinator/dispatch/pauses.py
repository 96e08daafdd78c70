"""Know what is paused, keep paused tasks from being claimed, and return the claimed ones.

The pauses are read before the first claim, when a NOTIFY says that one has changed, and at the
safety poll. A claim leaves out paused queues and skips paused names. A claim may cross a pause: its
transaction began before the pause was known here. Its tasks are released, because each claimed
task is checked after the claim, and everything that is held or offered after each read.

Paused tasks that a worker has accepted continue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from taskmaster.coordinator.dispatch.dispatcher import Dispatcher
from taskmaster.coordinator.dispatch.lookahead import LookaheadQueue
from taskmaster.coordinator.support.database import OUTAGE_ERRORS, Database
from taskmaster.tasks.backoff import Backoff, run_every, wait_until_set
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.messages import ClaimedTask, Lease, QueuePriority
from taskmaster.tasks.policy_messages import ActivePause, PauseKind
from taskmaster.tasks.store import policy_store as store

#: First and longest back-off in seconds after a database error.
_RETRY_S = (0.1, 1.0)


class Pauses:
    """Keep what is paused, for the claims of one coordinator."""

    def __init__(
        self,
        database: Database,
        dispatcher: Dispatcher,
        lookahead: LookaheadQueue,
        conf: Settings,
        *,
        on_release_held: Callable[[Sequence[Lease]], None],
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._lookahead = lookahead
        self._conf = conf
        self._on_release_held = on_release_held
        #: Called when something was paused or resumed.
        self.on_change: Callable[[], None] = lambda: None
        self._active: frozenset[ActivePause] = frozenset()
        self._everything = False
        self._queues: frozenset[str] = frozenset()
        #: The paused task names.
        self.names: frozenset[str] = frozenset()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Read the pauses again: one has changed."""
        self._woken.set()

    def without_paused(self, pairs: Sequence[QueuePriority]) -> Sequence[QueuePriority]:
        """Return the pairs whose queue is not paused."""
        if not self._active:
            return pairs
        return [pair for pair in pairs if not self._is_queue_paused(pair.queue)]

    def release_paused(self, tasks: Sequence[ClaimedTask]) -> Sequence[ClaimedTask]:
        """Release the paused ones of these claimed tasks. Return the others."""
        if not self._active:
            return tasks
        paused = [task for task in tasks if self._is_paused(task.queue, task.name)]
        if not paused:
            return tasks
        self._on_release_held([Lease(task.task_id, task.lease) for task in paused])
        return [task for task in tasks if not self._is_paused(task.queue, task.name)]

    async def read(self) -> None:
        """Read the pauses, and release everything paused that no worker has accepted.

        Raises the errors in OUTAGE_ERRORS.
        """
        async with self._database.connection() as connection:
            active = frozenset(await store.list_pauses(connection))
        changed, self._active = active != self._active, active
        self._everything = any(each.kind == PauseKind.EVERYTHING for each in active)
        self._queues = _targets(active, PauseKind.QUEUE)
        self.names = _targets(active, PauseKind.NAME)
        if active:
            held = self._lookahead.remove(self._is_paused)
            if held:
                self._on_release_held(held)
            self._dispatcher.withdraw_paused(self._is_paused)
        if changed:
            self.on_change()

    async def run(self) -> None:
        """Read the pauses when they change and at the safety poll, until cancelled."""
        # A wake-up must not be lost with the read that fails.
        await run_every(
            0,
            self._iterate,
            retry_on=OUTAGE_ERRORS,
            backoff=Backoff(*_RETRY_S),
            on_error=lambda _: self._woken.set(),
        )

    async def _iterate(self) -> None:
        await wait_until_set(self._woken, self._conf.poll_interval_s)
        self._woken.clear()
        await self.read()

    def _is_queue_paused(self, queue: str) -> bool:
        return self._everything or queue in self._queues

    def _is_paused(self, queue: str, name: str) -> bool:
        return self._is_queue_paused(queue) or name in self.names


def _targets(active: frozenset[ActivePause], kind: PauseKind) -> frozenset[str]:
    return frozenset(each.target for each in active if each.kind == kind)
