"""Batch reports for a coordinator and keep them until they are acknowledged."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable

import grpc

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.backoff import Backoff
from taskmaster.workers.daemon.attempt import Attempt, Ending
from taskmaster.workers.daemon.connection.report_message import (
    AttemptEnd,
    AttemptOutput,
    ReportMessage,
    end_size,
    text_size,
)
from taskmaster.workers.daemon.output import CapturedChunk

log = logging.getLogger(__name__)

#: Reports are gathered for this time after a message was sent.
GATHER_S = 0.002
#: Limits of one message: number of reports of a kind, and approximate bytes. gRPC's limit is 4 MB.
BATCH_MAX = 500
BYTES_MAX = 2_000_000
#: Maximum number of unanswered messages.
_UNANSWERED_MAX = 4
#: Unacknowledged output is kept up to this number of characters. More output is dropped.
OUTPUT_MAX = 64 * 1024 * 1024
_RETRY = Backoff(first_s=0.1, longest_s=5.0)
#: Status codes of a message that the coordinator will never accept.
_REFUSED = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)

#: Sends an update to the connected coordinator. Waits while there is none.
Send = Callable[[pb.StatusUpdate], Awaitable[pb.StatusAcknowledgement]]


class ReportQueue:
    """Queue and send the reports of this worker."""

    def __init__(self, worker_id: str) -> None:
        self._worker_id = worker_id
        self._starts: dict[int, Attempt] = {}
        self._chunks: deque[AttemptOutput] = deque()
        self._ends: deque[AttemptEnd] = deque()
        self._declined: deque[Attempt] = deque()
        #: Messages that failed and are sent again.
        self._retries: deque[ReportMessage] = deque()
        self._not_empty = asyncio.Event()
        #: Set while all reports are acknowledged.
        self.all_acknowledged = asyncio.Event()
        self.all_acknowledged.set()
        #: The sent messages that are not answered, by the asyncio task that sends them.
        self._unanswered: dict[asyncio.Task[None], ReportMessage] = {}
        self._answered = asyncio.Event()
        #: Number of unacknowledged chunks by attempt id. The end of an attempt must not overtake
        #: them.
        self._unacknowledged_chunks: Counter[int] = Counter()
        #: Number of characters of unacknowledged output.
        self._output_chars = 0
        self._sent_at = 0.0
        #: Called with attempts whose start is durable.
        self.on_confirmed: Callable[[list[Attempt]], None] = lambda _: None
        #: Called with executions whose leases are stale.
        self.on_stale: Callable[[list[pb.Execution]], None] = lambda _: None

    def add_start(self, attempt: Attempt) -> None:
        """Queue the start of an attempt."""
        self._starts[attempt.id] = attempt
        self._notify()

    def add_end(self, attempt: Attempt, ending: Ending) -> None:
        """Queue the end of an attempt. A start that is still queued is dropped."""
        self._starts.pop(attempt.id, None)
        self._ends.append((attempt, ending))
        self._notify()

    def add_output(self, attempt: Attempt, chunk: CapturedChunk) -> None:
        """Queue a chunk of output. It is dropped when too much output is unacknowledged."""
        if self._output_chars + len(chunk.text) > OUTPUT_MAX:
            return
        self._output_chars += len(chunk.text)
        self._chunks.append((attempt, chunk))
        self._notify()

    def add_declined(self, attempt: Attempt) -> None:
        """Queue the hand-back of an offer or of a stopped attempt.

        Another worker can then run the task. `declined` is the protocol's name for it.
        """
        self._declined.append(attempt)
        self._notify()

    def _notify(self) -> None:
        self._not_empty.set()
        self.all_acknowledged.clear()

    @property
    def unacknowledged_ends(self) -> list[Attempt]:
        """Return the ended attempts whose end is not acknowledged."""
        messages = [*self._unanswered.values(), *self._retries]
        ends = [end for message in messages for end in message.ends] + list(self._ends)
        return [attempt for attempt, _ in ends]

    @property
    def unacknowledged(self) -> int:
        """Return the number of unacknowledged reports."""
        messages = [*self._unanswered.values(), *self._retries]
        queued = (self._starts, self._chunks, self._ends, self._declined)
        return sum(map(len, messages)) + sum(map(len, queued))

    async def run(self, send: Send) -> None:
        """Send the queued reports until cancelled."""
        while True:
            await self._not_empty.wait()
            while len(self._unanswered) >= _UNANSWERED_MAX:
                self._answered.clear()
                await self._answered.wait()
            pause = self._sent_at + GATHER_S - time.monotonic()
            if pause > 0 and self._queued < BATCH_MAX:
                await asyncio.sleep(pause)
            message = self._retries.popleft() if self._retries else self._gather()
            if not len(message):
                self._not_empty.clear()
                self._check_acknowledged()
                continue
            self._sent_at = time.monotonic()
            sending = asyncio.create_task(self._deliver(message, send), name="report")
            self._unanswered[sending] = message
            sending.add_done_callback(self._on_answer)

    @property
    def _queued(self) -> int:
        return len(self._starts) + len(self._ends) + len(self._chunks)

    def _gather(self) -> ReportMessage:
        """Build the next message within the limits.

        Output comes first, then ends, starts and declined offers.
        """
        message, size = ReportMessage(), 0
        while self._chunks and len(message.chunks) < BATCH_MAX and size < BYTES_MAX:
            output = self._chunks.popleft()
            size += text_size(output[1].text)
            message.chunks.append(output)
        if self._chunks:
            # Ends wait for the output that precedes them.
            self._count_chunks(message)
            return message
        postponed: list[AttemptEnd] = []
        while self._ends and len(message.ends) < BATCH_MAX and size < BYTES_MAX:
            end = self._ends.popleft()
            if self._unacknowledged_chunks and self._unacknowledged_chunks[end[0].id]:
                postponed.append(end)
                continue
            size += end_size(end[1])
            message.ends.append(end)
        self._ends.extendleft(reversed(postponed))
        while self._starts and len(message.starts) < BATCH_MAX:
            message.starts.append(self._starts.pop(next(iter(self._starts))))
        while self._declined and len(message.declined) < BATCH_MAX:
            message.declined.append(self._declined.popleft())
        self._count_chunks(message)
        return message

    def _count_chunks(self, message: ReportMessage) -> None:
        for attempt, _ in message.chunks:
            self._unacknowledged_chunks[attempt.id] += 1

    async def _deliver(self, message: ReportMessage, send: Send) -> None:
        """Send a message and handle its answer. Queue it again if sending fails."""
        try:
            acknowledgement = await send(message.encode(self._worker_id))
        except grpc.aio.AioRpcError as error:
            await self._delivery_failed(message, error.code(), error.details() or "")
            return
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            # The call was cancelled, not this task, because its connection was closed.
            await self._delivery_failed(message, grpc.StatusCode.CANCELLED, "")
            return
        if acknowledgement.stale:
            self.on_stale(list(acknowledgement.stale))
        self._acknowledge(message)
        self.on_confirmed(message.starts)

    async def _delivery_failed(
        self, message: ReportMessage, code: grpc.StatusCode, details: str
    ) -> None:
        if code in _REFUSED and len(message) == 1:
            log.error("report refused by the coordinator, dropped", extra={"error": details})
            self._acknowledge(message)
            return
        # Retry after a pause. Split a refused message, to find the report that is refused.
        message.failures += 1
        await asyncio.sleep(_RETRY.pause_s(message.failures))
        self._retries.extend(message.split() if code in _REFUSED else [message])

    def _acknowledge(self, message: ReportMessage) -> None:
        for attempt, chunk in message.chunks:
            self._output_chars -= len(chunk.text)
            self._unacknowledged_chunks[attempt.id] -= 1
            if not self._unacknowledged_chunks[attempt.id]:
                del self._unacknowledged_chunks[attempt.id]

    def _on_answer(self, sending: asyncio.Task[None]) -> None:
        del self._unanswered[sending]
        self._answered.set()
        self._not_empty.set()
        self._check_acknowledged()

    def _check_acknowledged(self) -> None:
        if not (self._unanswered or self._retries or self._queued or self._declined):
            self.all_acknowledged.set()
