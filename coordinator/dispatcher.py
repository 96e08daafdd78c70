"""Credits, which worker, the streams: hands claimed tasks to connected workers.

A worker has one credit for each slot, and a small prefetch beyond while its tasks are so short that
the way there and back would leave the slots idle. A task is offered; it is the worker's only
once the worker has accepted it, and whoever does not accept in time loses it to another.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from coordinator.links import COMMANDS, LONG_S, Demand, Flight, Link
from proto import taskmaster_pb2 as pb
from tasks.conf import Settings
from tasks.reports import Adopted, Claimed, Lease
from tasks.submission import STOP

log = logging.getLogger(__name__)

#: Weight of the newest batch in a worker's mean run time.
_NEWEST = 0.2
#: How often offers are looked at for their age.
_TICK_S = 0.1


class Dispatcher:
    """Which worker gets which task."""

    def __init__(
        self,
        conf: Settings,
        *,
        on_room: Callable[[], None],
        on_join: Callable[[], None] = lambda: None,
        on_release: Callable[[Sequence[Lease]], None],
        receipts_late: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._conf = conf
        self._on_room = on_room
        self._on_join = on_join
        self._on_release = on_release
        #: Whether workers wait for receipts: with a few outstanding they report nothing more, so
        #: they may have accepted, and may run, what they have not been able to say.
        self._receipts_late = receipts_late
        self._late_at = float("-inf")
        self._clock = clock
        self.links: dict[UUID, Link] = {}
        #: Whose flight each task is.
        self._holders: dict[int, Link] = {}

    # ---- what the claimer asks --------------------------------------------------------------

    def demands(self) -> list[Demand]:
        """One entry for each set of queues that connected workers serve, the narrowest first."""
        rooms: dict[frozenset[str] | None, int] = {}
        for link in self.links.values():
            rooms[link.queues] = rooms.get(link.queues, 0) + link.room(self._conf.prefetch_max)
        groups = [Demand(queues, room) for queues, room in rooms.items()]
        return sorted(groups, key=lambda group: (group.queues is None, len(group.queues or ())))

    @property
    def in_flight(self) -> int:
        """Tasks offered to or accepted by workers."""
        return sum(len(link.flights) for link in self.links.values())

    def leases(self) -> list[Lease]:
        """What is offered to or accepted by workers."""
        flights = (each for link in self.links.values() for each in link.flights.items())
        return [Lease(task_id, flight.lease) for task_id, flight in flights]

    def offer(self, tasks: Sequence[Claimed], *, prefetch: bool = True) -> list[Claimed]:
        """Offers tasks in their order, free slots first; returns those that found no room.

        Without `prefetch` only a slot that is free now will do.
        """
        left = self._deal(tasks, lambda link: link.free_slots)
        if left and prefetch:
            left = self._deal(left, lambda link: link.room(self._conf.prefetch_max))
        return left

    def _deal(self, tasks: Sequence[Claimed], room_of: Callable[[Link], int]) -> list[Claimed]:
        rooms = {link: room_of(link) for link in self.links.values()}
        takers = deque(
            sorted((link for link, room in rooms.items() if room > 0), key=lambda x: -rooms[x])
        )
        now, left = self._clock(), []
        for task in tasks:
            for _ in range(len(takers)):
                link = takers[0]
                takers.rotate(-1)
                if link.serves(task.queue):
                    break
            else:
                left.append(task)
                continue
            self._send_offer(link, task, now)
            rooms[link] -= 1
            if rooms[link] == 0:
                takers.remove(link)
        return left

    def _send_offer(self, link: Link, task: Claimed, now: float) -> None:
        link.flights[task.task_id] = Flight(task.lease, task.attempt + 1, task.queue, now)
        self._holders[task.task_id] = link
        link.outbox.append(
            pb.Offer(
                task_id=task.task_id,
                lease=task.lease,
                attempt=task.attempt + 1,
                name=task.name,
                args="" if task.args == "[]" else task.args,
                kwargs="" if task.kwargs == "{}" else task.kwargs,
                timeout_ms=round(task.timeout_s * 1_000),
                queue=task.queue,
                priority=task.priority,
                created_at_us=int(task.created_at.timestamp() * 1e6),
                max_attempts=task.max_attempts,
                stop_on_lost_contact=task.on_lost_contact == STOP,
            )
        )
        link.ready.set()

    # ---- what workers do --------------------------------------------------------------------

    def connect(self, link: Link, running: Iterable[tuple[Lease, Adopted]]) -> None:
        """Takes a worker into the pool, with what it runs already."""
        now = self._clock()
        for lease, adopted in running:
            link.flights[lease.task_id] = Flight(
                lease.lease, adopted.attempt, adopted.queue, now, accepted=True
            )
        before = self.links.get(link.worker_id)
        if before is not None:
            self.disconnect(before)
        self.links[link.worker_id] = link
        self._holders.update(dict.fromkeys(link.flights, link))
        self._on_room()
        # It may serve queues that nobody has looked at so far.
        self._on_join()

    def disconnect(self, link: Link) -> list[tuple[Lease, Flight]]:
        """Takes a worker out of the pool; returns what it had accepted.

        What it had not accepted is released at once.
        """
        if link.closed:
            return []
        link.closed = True
        link.outbox.clear()
        link.commands.clear()
        link.ready.set()
        if self.links.get(link.worker_id) is link:
            del self.links[link.worker_id]
        for task_id in link.flights:
            if self._holders.get(task_id) is link:
                del self._holders[task_id]
        flights = [
            (Lease(task_id, flight.lease), flight) for task_id, flight in link.flights.items()
        ]
        self._release([lease for lease, flight in flights if not flight.accepted])
        return [(lease, flight) for lease, flight in flights if flight.accepted]

    def accepted_by(self, link: Link) -> list[Lease]:
        """What the worker has accepted and not ended."""
        return [
            Lease(task_id, flight.lease)
            for task_id, flight in link.flights.items()
            if flight.accepted
        ]

    def accepted(self, link: Link, leases: Iterable[Lease]) -> None:
        """The worker began these attempts."""
        link.suspended = False
        for lease in leases:
            flight = link.flights.get(lease.task_id)
            if flight is not None and flight.lease == lease.lease:
                flight.accepted = True

    def ended(self, link: Link, leases: Sequence[Lease], mean_run_s: float | None) -> None:
        """These executions are over, whatever came of them; their credits are free again."""
        link.suspended = False
        for lease in leases:
            self._land(link, lease)
        if mean_run_s is not None:
            link.mean_run_s += _NEWEST * (mean_run_s - link.mean_run_s)
        if leases:
            self._on_room()

    def declined(self, link: Link, leases: Iterable[Lease]) -> None:
        """The worker hands these back; the flusher releases them."""
        link.suspended = False
        link.mean_run_s = max(link.mean_run_s, LONG_S)
        for lease in leases:
            self._land(link, lease)

    def foreign(self, worker_id: UUID, leases: Iterable[Lease]) -> set[Lease]:
        """Those of these leases that another connected worker has."""
        found = set()
        for lease in leases:
            holder = self._holders.get(lease.task_id)
            if holder is None or holder.worker_id == worker_id:
                continue
            if holder.flights[lease.task_id].lease == lease.lease:
                found.add(lease)
        return found

    def _land(self, link: Link, lease: Lease) -> bool:
        flight = link.flights.get(lease.task_id)
        if flight is None or flight.lease != lease.lease:
            return False
        del link.flights[lease.task_id]
        if self._holders.get(lease.task_id) is link:
            del self._holders[lease.task_id]
        return True

    @staticmethod
    def _unsend(link: Link) -> None:
        link.outbox = deque(offer for offer in link.outbox if offer.task_id in link.flights)

    # ---- commands ---------------------------------------------------------------------------

    def cancel(self, lease: Lease) -> None:
        """Tells the worker that has this execution, if any is connected here, to stop it."""
        link = self._holders.get(lease.task_id)
        if link is not None and self._land(link, lease):
            self._unsend(link)
            link.send(pb.CoordinatorMessage(cancel=pb.Executions(executions=[_execution(lease)])))
            self._on_room()

    def command(self, worker_id: UUID, wanted: str) -> None:
        """Tells a worker, if it is connected here, what an operator wants: a word of COMMANDS."""
        link = self.links.get(worker_id)
        if link is None:
            return
        link.draining = wanted != "undrain"
        link.send(COMMANDS[wanted])
        self._on_room()

    def tell_stale(self, link: Link, leases: Iterable[Lease]) -> None:
        """Tells a worker that these leases are not its own any more."""
        executions = [_execution(lease) for lease in leases]
        if executions:
            link.send(pb.CoordinatorMessage(stale=pb.Executions(executions=executions)))

    # ---- offers that nobody accepts ---------------------------------------------------------

    async def run(self) -> None:
        """Withdraws offers that are not accepted in time, until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            self.withdraw_expired()

    def withdraw_expired(self) -> None:
        """Releases what was offered too long ago, and suspends the workers that kept it."""
        # Looked at once a tick, so that with the tick the promised time is kept.
        deadline = self._clock() - self._conf.accept_timeout_s + 2 * _TICK_S
        if self._receipts_late():
            self._late_at = self._clock()
        if self._late_at >= deadline:
            return
        for link in list(self.links.values()):
            expired = [
                Lease(task_id, flight.lease)
                for task_id, flight in link.flights.items()
                if not flight.accepted and flight.offered_at < deadline
            ]
            if not expired:
                continue
            link.suspended = True
            log.warning(
                "worker accepts nothing", extra={"worker": link.name, "offers": len(expired)}
            )
            for lease in expired:
                self._land(link, lease)
            self._unsend(link)
            self.tell_stale(link, expired)
            self._release(expired)

    def _release(self, leases: Sequence[Lease]) -> None:
        if leases:
            self._on_release(leases)
            self._on_room()


def _execution(lease: Lease) -> pb.Execution:
    return pb.Execution(task_id=lease.task_id, lease=lease.lease)
