"""Offer claimed tasks to connected workers and track what each has in flight.

A worker may have one task in flight for each slot. It may have a small prefetch beyond that while
its tasks are so short that a round trip to the coordinator would leave slots idle. A task belongs
to a worker only after the worker has accepted the offer. An offer that is not accepted in time is
withdrawn, and the task is released (see `offer_expiry`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from uuid import UUID

from taskmaster.coordinator.dispatch.connections import (
    COMMANDS,
    Capacity,
    InFlight,
    WorkerConnection,
    execution_of,
)
from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.messages import AdoptedAttempt, ClaimedTask, KnownByWorkers, Lease


class Dispatcher:
    """Keep the connected workers, and decide which worker gets which task."""

    def __init__(
        self,
        conf: Settings,
        *,
        on_capacity_freed: Callable[[], None],
        on_join: Callable[[], None] = lambda: None,
        on_release: Callable[[Sequence[Lease]], None],
        sign: Callable[[UUID, int, int], bytes],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._conf = conf
        #: Called when a worker may have become able to take a task.
        self._on_capacity_freed = on_capacity_freed
        #: Called when a worker has connected.
        self._on_join = on_join
        #: Called with the leases of offers that no worker has accepted.
        self._on_release = on_release
        #: Returns the token of an offer to a worker, from worker id, task id and lease.
        self._sign = sign
        self._clock = clock
        #: The connected workers by id.
        self.workers: dict[UUID, WorkerConnection] = {}
        #: The worker that has each task in flight, by task id.
        self._worker_of: dict[int, WorkerConnection] = {}

    # ---- capacity and offers ----------------------------------------------------------------

    def capacities(self) -> list[Capacity]:
        """Return one entry for each combination of queues and names of connected workers.

        Smaller sets come first. The entry for all queues and all names comes last.
        """
        totals: dict[tuple[frozenset[str] | None, frozenset[str] | None], int] = {}
        for worker in self.workers.values():
            capacity = worker.capacity(self._conf.prefetch_max)
            key = worker.queues, worker.names
            totals[key] = totals.get(key, 0) + capacity
        groups = [Capacity(queues, tasks, names) for (queues, names), tasks in totals.items()]
        return sorted(groups, key=lambda each: (*_extent(each.queues), *_extent(each.names)))

    def capacity_of(self, group: Capacity) -> int:
        """Return how many tasks can be offered to the workers of this group now."""
        return sum(
            worker.capacity(self._conf.prefetch_max)
            for worker in self.workers.values()
            if worker.queues == group.queues and worker.names == group.names
        )

    def knows(self, queue: str, name: str) -> bool:
        """Return whether a connected worker that is not draining can run this task."""
        return any(each.runs(queue, name) for each in self.workers.values() if not each.draining)

    def known_names(self) -> set[KnownByWorkers]:
        """Return the queues and names of the connected workers that are not draining."""
        return {
            KnownByWorkers(worker.queues, worker.names)
            for worker in self.workers.values()
            if not worker.draining
        }

    @property
    def slots(self) -> int:
        """Return the number of slots of the connected workers that are not draining."""
        return sum(worker.slots for worker in self.workers.values() if not worker.draining)

    def has_capacity(self, *, prefetch: float) -> bool:
        """Return whether `offer` with this share of the prefetch may find a worker."""
        return any(
            worker.capacity(self._conf.prefetch_max, prefetch) > 0
            for worker in self.workers.values()
        )

    @property
    def in_flight(self) -> int:
        """Return the number of tasks that are offered to or accepted by workers."""
        return sum(len(worker.in_flight) for worker in self.workers.values())

    def leases(self) -> list[Lease]:
        """Return the leases of all tasks that are offered to or accepted by workers."""
        tasks = (each for worker in self.workers.values() for each in worker.in_flight.items())
        return [Lease(task_id, task.lease) for task_id, task in tasks]

    def offer(self, tasks: Sequence[ClaimedTask], *, prefetch: float = 1.0) -> list[ClaimedTask]:
        """Offer tasks in the given order. Return the tasks that no worker has capacity for.

        Free slots are filled before any prefetch. `prefetch` is the share of the prefetch that may
        be used.
        """
        left = self._distribute(tasks, lambda worker: worker.free_slots)
        if left and prefetch:
            left = self._distribute(
                left, lambda worker: worker.capacity(self._conf.prefetch_max, prefetch)
            )
        return left

    def _distribute(
        self, tasks: Sequence[ClaimedTask], capacity_of: Callable[[WorkerConnection], int]
    ) -> list[ClaimedTask]:
        """Offer tasks to the workers in rotation, beginning with the one of the largest capacity.

        `capacity_of` returns how many tasks a worker may get. Return the tasks that are left.
        """
        capacity = {worker: capacity_of(worker) for worker in self.workers.values()}
        available = deque(
            sorted(
                (worker for worker, count in capacity.items() if count > 0),
                key=lambda worker: -capacity[worker],
            )
        )
        now, left = self._clock(), list[ClaimedTask]()
        for number, task in enumerate(tasks):
            if not available:
                return left + list(tasks[number:])
            for _ in range(len(available)):
                worker = available[0]
                available.rotate(-1)
                if worker.runs(task.queue, task.name):
                    break
            else:
                left.append(task)
                continue
            worker.add_offer(task, now, self._sign(worker.id, task.task_id, task.lease))
            self._worker_of[task.task_id] = worker
            capacity[worker] -= 1
            if capacity[worker] == 0:
                available.remove(worker)
        return left

    # ---- connections ------------------------------------------------------------------------

    def connect(
        self,
        worker: WorkerConnection,
        adopted: Iterable[tuple[Lease, AdoptedAttempt]],
        tokens: Mapping[Lease, bytes],
    ) -> None:
        """Add a connected worker, with the attempts that it runs and this coordinator has adopted.

        `tokens` has the valid tokens that the worker named for them. An earlier connection of the
        same worker is closed.
        """
        # Equal sets are the same object, so that comparing them costs nothing.
        for other in self.workers.values():
            if other.names == worker.names:
                worker.names = other.names
                break
        now = self._clock()
        for lease, attempt in adopted:
            worker.in_flight[lease.task_id] = InFlight(
                lease.lease, attempt.attempt, attempt.queue, now, tokens[lease], accepted=True
            )
        before = self.workers.get(worker.id)
        if before is not None:
            self.disconnect(before)
        self.workers[worker.id] = worker
        self._worker_of.update(dict.fromkeys(worker.in_flight, worker))
        self._on_capacity_freed()
        # The worker may serve queues that no other worker serves, so the claimer must scan again.
        self._on_join()

    def disconnect(self, worker: WorkerConnection) -> list[Lease]:
        """Remove a connected worker. Return the leases that it had accepted.

        Offers that it had not accepted are released immediately.
        """
        if worker.closed:
            return []
        worker.close()
        if self.workers.get(worker.id) is worker:
            del self.workers[worker.id]
        for task_id in worker.in_flight:
            if self._worker_of.get(task_id) is worker:
                del self._worker_of[task_id]
        self._release(worker.leases(accepted=False))
        return worker.leases(accepted=True)

    # ---- reports ----------------------------------------------------------------------------

    def apply_update(self, worker: WorkerConnection, update: pb.StatusUpdate) -> None:
        """Apply a worker's reports to its tasks in flight, before the reports are durable.

        A slot is free as soon as its task has ended. Waiting for the commit would leave it idle.
        """
        if update.started:
            self.record_accepted(worker, [Lease(x.task_id, x.lease) for x in update.started])
        if update.declined:
            self.record_handed_back(worker, [Lease(x.task_id, x.lease) for x in update.declined])
        ended = [Lease(x.task_id, x.lease) for x in update.completed]
        ended.extend(Lease(x.task_id, x.lease) for x in update.failed)
        if ended:
            self.record_ended(worker, ended, _mean_run_s(update))

    def record_accepted(self, worker: WorkerConnection, leases: Iterable[Lease]) -> None:
        """Mark offers as accepted: the worker reported their start."""
        worker.suspended = False
        for lease in leases:
            worker.accept(lease)

    def record_ended(
        self, worker: WorkerConnection, leases: Sequence[Lease], mean_run_s: float | None
    ) -> None:
        """Remove executions that have ended, with any outcome. Their slots are free again.

        `mean_run_s` is the mean run time of the batch in seconds, None if unknown.
        """
        worker.suspended = False
        for lease in leases:
            self._remove(worker, lease)
        if mean_run_s is not None:
            worker.record_run_time(mean_run_s)
        if leases:
            self._on_capacity_freed()

    def record_handed_back(self, worker: WorkerConnection, leases: Iterable[Lease]) -> None:
        """Remove executions that the worker hands back. The flusher releases the tasks."""
        worker.suspended = False
        worker.end_prefetch()
        for lease in leases:
            self._remove(worker, lease)

    def in_flight_elsewhere(self, worker_id: UUID, leases: Iterable[Lease]) -> set[Lease]:
        """Return the subset of `leases` that is in flight at another connected worker."""
        found = set()
        for lease in leases:
            worker = self._worker_of.get(lease.task_id)
            if worker is None or worker.id == worker_id:
                continue
            if worker.in_flight[lease.task_id].lease == lease.lease:
                found.add(lease)
        return found

    def _remove(self, worker: WorkerConnection, lease: Lease) -> bool:
        if not worker.remove(lease):
            return False
        if self._worker_of.get(lease.task_id) is worker:
            del self._worker_of[lease.task_id]
        return True

    # ---- commands and withdrawals -----------------------------------------------------------

    def cancel(self, lease: Lease) -> None:
        """Send a cancellation to the worker that has this execution, if it is connected here."""
        worker = self._worker_of.get(lease.task_id)
        if worker is not None and self._remove(worker, lease):
            worker.drop_withdrawn_offers()
            executions = pb.Executions(executions=[execution_of(lease)])
            worker.send(pb.CoordinatorMessage(cancel=executions))
            self._on_capacity_freed()

    def send_command(self, worker_id: UUID, command: str) -> None:
        """Send an operator's command to a worker, if it is connected here.

        `command` is a key of COMMANDS. Every command but `undrain` stops offers to the worker.
        """
        worker = self.workers.get(worker_id)
        if worker is None:
            return
        worker.draining = command != "undrain"
        worker.send(COMMANDS[command])
        self._on_capacity_freed()

    def withdraw(self, worker: WorkerConnection, expired: Sequence[Lease]) -> None:
        """Release offers that a worker did not accept in time, and suspend the worker."""
        worker.suspended = True
        for lease in expired:
            self._remove(worker, lease)
        worker.drop_withdrawn_offers()
        worker.send_stale(expired)
        self._release(expired)

    def _release(self, leases: Sequence[Lease]) -> None:
        if leases:
            self._on_release(leases)
            self._on_capacity_freed()


def _extent(members: frozenset[str] | None) -> tuple[bool, int]:
    """Return a key that sorts sets by size. None, which stands for all members, comes last."""
    return members is None, len(members or ())


def _mean_run_s(update: pb.StatusUpdate) -> float | None:
    """Return the mean run time of the ended executions in seconds, None if none has ended."""
    runs = [each.finished_at_us - each.started_at_us for each in update.completed]
    runs.extend(each.finished_at_us - each.started_at_us for each in update.failed)
    return max(0.0, sum(runs) / len(runs) / 1e6) if runs else None
