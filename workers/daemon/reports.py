"""Reports on their way to a coordinator: batched, kept until they are acknowledged."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import grpc

from proto import taskmaster_pb2 as pb
from workers.daemon.attempt import Attempt, Broken, Returned, now_us
from workers.daemon.output import Chunk

log = logging.getLogger(__name__)

#: Reports are gathered this long when the last message has only just left.
GATHER_S = 0.002
#: The most reports and (about) bytes in a message; gRPC's limit is 4 MB.
BATCH_MAX = 500
BYTES_MAX = 2_000_000
#: Messages on their way at once.
_IN_FLIGHT_MAX = 4
#: Output that no coordinator has acknowledged is kept up to this size, then cut.
OUTPUT_MAX = 64 * 1024 * 1024
_RETRY_S = (0.1, 5.0)
#: A message that the coordinator will never take.
_REFUSED = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)

End = tuple[Attempt, Returned | Broken]
#: Sends an update to the coordinator of the moment; waits while there is none.
Send = Callable[[pb.StatusUpdate], Awaitable[pb.StatusReceipt]]


@dataclass(slots=True)
class Batch:
    """What one message carries."""

    starts: list[Attempt] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    declined: list[Attempt] = field(default_factory=list)
    tries: int = 0

    def __len__(self) -> int:
        return len(self.starts) + len(self.chunks) + len(self.ends) + len(self.declined)

    def halves(self) -> list[Batch]:
        """Two batches with the same reports, for a message that was refused."""
        first, second = Batch(), Batch()
        for kind in ("starts", "chunks", "ends", "declined"):
            reports = getattr(self, kind)
            # The odd one goes to the smaller half: two reports are never one half.
            middle = (len(reports) + (len(first) <= len(second))) // 2
            getattr(first, kind).extend(reports[:middle])
            getattr(second, kind).extend(reports[middle:])
        return [first, second]


class Reports:
    """The outgoing side of this worker."""

    def __init__(self, worker_id: str) -> None:
        self._worker_id = worker_id
        self._starts: dict[int, Attempt] = {}
        self._chunks: deque[Chunk] = deque()
        self._ends: deque[End] = deque()
        self._declined: deque[Attempt] = deque()
        self._again: deque[Batch] = deque()
        self._filled = asyncio.Event()
        #: Set while everything is acknowledged.
        self.settled = asyncio.Event()
        self.settled.set()
        self._in_flight: dict[asyncio.Task[None], Batch] = {}
        self._landed = asyncio.Event()
        #: How many chunks of an attempt are on their way: its end must not overtake them.
        self._chunks_away: Counter[int] = Counter()
        self._output_bytes = 0
        self._sent_at = 0.0
        self.on_confirmed: Callable[[list[Attempt]], None] = lambda _: None
        self.on_stale: Callable[[list[pb.Execution]], None] = lambda _: None

    # ---- in ---------------------------------------------------------------------------------

    def started(self, attempt: Attempt) -> None:
        """The attempt begins now."""
        self._starts[attempt.id] = attempt
        self._fill()

    def ended(self, attempt: Attempt, ending: Returned | Broken) -> None:
        """The attempt is over. Its start is left out when both meet here."""
        self._starts.pop(attempt.id, None)
        self._ends.append((attempt, ending))
        self._fill()

    def output(self, chunk: Chunk) -> None:
        """A piece of output; dropped when nobody has taken any for too long."""
        if self._output_bytes + len(chunk.text) > OUTPUT_MAX:
            return
        self._output_bytes += len(chunk.text)
        self._chunks.append(chunk)
        self._fill()

    def declined(self, attempt: Attempt) -> None:
        """The offer, or the attempt that was stopped, is for others."""
        self._declined.append(attempt)
        self._fill()

    def _fill(self) -> None:
        self._filled.set()
        self.settled.clear()

    @property
    def unacknowledged_ends(self) -> list[tuple[int, int]]:
        """(task, lease) of what has ended and no coordinator has confirmed."""
        batches = [*self._in_flight.values(), *self._again]
        ends = [end for batch in batches for end in batch.ends] + list(self._ends)
        return [attempt.key for attempt, _ in ends]

    @property
    def unacknowledged(self) -> int:
        """How many reports are not confirmed."""
        batches = [*self._in_flight.values(), *self._again]
        waiting = (self._starts, self._chunks, self._ends, self._declined)
        return sum(map(len, batches)) + sum(map(len, waiting))

    # ---- out --------------------------------------------------------------------------------

    async def run(self, send: Send) -> None:
        """Sends what is gathered, until cancelled."""
        while True:
            await self._filled.wait()
            while len(self._in_flight) >= _IN_FLIGHT_MAX:
                self._landed.clear()
                await self._landed.wait()
            pause = self._sent_at + GATHER_S - time.monotonic()
            if pause > 0 and self._waiting < BATCH_MAX:
                await asyncio.sleep(pause)
            batch = self._again.popleft() if self._again else self._gather()
            if not len(batch):
                self._filled.clear()
                self._settle()
                continue
            self._sent_at = time.monotonic()
            sending = asyncio.create_task(self._deliver(batch, send), name="report")
            self._in_flight[sending] = batch
            sending.add_done_callback(self._land)

    @property
    def _waiting(self) -> int:
        return len(self._starts) + len(self._ends) + len(self._chunks)

    def _gather(self) -> Batch:
        """The next message: output first, then starts and ends, within the limits."""
        batch, size = Batch(), 0
        while self._chunks and len(batch.chunks) < BATCH_MAX and size < BYTES_MAX:
            chunk = self._chunks.popleft()
            size += _size(chunk.text)
            batch.chunks.append(chunk)
        if self._chunks:
            # Ends wait for the output before them.
            self._depart(batch)
            return batch
        held: list[End] = []
        while self._ends and len(batch.ends) < BATCH_MAX and size < BYTES_MAX:
            end = self._ends.popleft()
            if self._chunks_away and self._chunks_away[end[0].id]:
                held.append(end)
                continue
            size += _end_size(end[1])
            batch.ends.append(end)
        self._ends.extendleft(reversed(held))
        while self._starts and len(batch.starts) < BATCH_MAX:
            batch.starts.append(self._starts.pop(next(iter(self._starts))))
        while self._declined and len(batch.declined) < BATCH_MAX:
            batch.declined.append(self._declined.popleft())
        self._depart(batch)
        return batch

    def _depart(self, batch: Batch) -> None:
        for chunk in batch.chunks:
            self._chunks_away[chunk.attempt.id] += 1

    def _message(self, batch: Batch) -> pb.StatusUpdate:
        update = pb.StatusUpdate(worker_id=self._worker_id, now_us=now_us())
        for attempt in batch.starts:
            update.started.add(
                task_id=attempt.task_id,
                lease=attempt.lease,
                attempt=attempt.number,
                started_at_us=attempt.started_at_us,
            )
        for chunk in batch.chunks:
            update.output.add(
                task_id=chunk.attempt.task_id,
                lease=chunk.attempt.lease,
                attempt=chunk.attempt.number,
                seq=chunk.seq,
                stream=chunk.stream,
                text=chunk.text,
                at_us=chunk.at_us,
            )
        for attempt, ending in batch.ends:
            _add_end(update, attempt, ending)
        for attempt in batch.declined:
            update.declined.add(task_id=attempt.task_id, lease=attempt.lease)
        return update

    async def _deliver(self, batch: Batch, send: Send) -> None:
        try:
            receipt = await send(self._message(batch))
        except grpc.aio.AioRpcError as error:
            await self._undelivered(batch, error.code(), error.details() or "")
            return
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            # The call was cancelled, not this task: its connection was closed.
            await self._undelivered(batch, grpc.StatusCode.CANCELLED, "")
            return
        if receipt.stale:
            self.on_stale(list(receipt.stale))
        self._acknowledge(batch)
        self.on_confirmed(batch.starts)

    async def _undelivered(self, batch: Batch, code: grpc.StatusCode, details: str) -> None:
        if code in _REFUSED and len(batch) == 1:
            log.error("report refused, dropped", extra={"error": details})
            self._acknowledge(batch)
            return
        first, longest = _RETRY_S
        await asyncio.sleep(min(longest, first * 2**batch.tries))
        batch.tries += 1
        self._again.extend(batch.halves() if code in _REFUSED else [batch])

    def _acknowledge(self, batch: Batch) -> None:
        for chunk in batch.chunks:
            self._output_bytes -= len(chunk.text)
            self._chunks_away[chunk.attempt.id] -= 1
            if not self._chunks_away[chunk.attempt.id]:
                del self._chunks_away[chunk.attempt.id]

    def _land(self, sending: asyncio.Task[None]) -> None:
        del self._in_flight[sending]
        self._landed.set()
        self._filled.set()
        self._settle()

    def _settle(self) -> None:
        if not (self._in_flight or self._again or self._waiting or self._declined):
            self.settled.set()


def _add_end(update: pb.StatusUpdate, attempt: Attempt, ending: Returned | Broken) -> None:
    if isinstance(ending, Returned):
        update.completed.add(
            task_id=attempt.task_id,
            lease=attempt.lease,
            attempt=attempt.number,
            started_at_us=ending.started_at_us,
            finished_at_us=ending.finished_at_us,
            result=ending.result,
        )
        return
    update.failed.add(
        task_id=attempt.task_id,
        lease=attempt.lease,
        attempt=attempt.number,
        started_at_us=ending.started_at_us or attempt.started_at_us,
        finished_at_us=ending.finished_at_us or now_us(),
        exit_class=ending.exit_class,
        exception=ending.exception,
        message=ending.message,
        traceback=ending.traceback,
        code=ending.code,
        final=ending.final,
        retry_after_s=ending.retry_after_s,
    )


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text) * 3


def _end_size(ending: Returned | Broken) -> int:
    text = ending.result if isinstance(ending, Returned) else ending.traceback
    return _size(text)
