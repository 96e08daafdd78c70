"""Hold the reports that are sent to a coordinator in one message."""

from __future__ import annotations

from dataclasses import dataclass, field

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.workers.daemon.attempt import Attempt, Ending, now_us
from taskmaster.workers.daemon.messages import Succeeded
from taskmaster.workers.daemon.output import CapturedChunk

AttemptEnd = tuple[Attempt, Ending]
AttemptOutput = tuple[Attempt, CapturedChunk]


@dataclass(slots=True)
class ReportMessage:
    """Hold the reports of one message."""

    starts: list[Attempt] = field(default_factory=list)
    chunks: list[AttemptOutput] = field(default_factory=list)
    ends: list[AttemptEnd] = field(default_factory=list)
    declined: list[Attempt] = field(default_factory=list)
    #: Number of times that sending the message failed.
    failures: int = 0

    def __len__(self) -> int:
        return len(self.starts) + len(self.chunks) + len(self.ends) + len(self.declined)

    def split(self) -> list[ReportMessage]:
        """Split the reports of a refused message into two messages."""
        first, second = ReportMessage(), ReportMessage()
        for kind in ("starts", "chunks", "ends", "declined"):
            reports = getattr(self, kind)
            # An odd report goes to the smaller half, so that two reports are always separated.
            middle = (len(reports) + (len(first) <= len(second))) // 2
            getattr(first, kind).extend(reports[:middle])
            getattr(second, kind).extend(reports[middle:])
        return [first, second]

    def encode(self, worker_id: str) -> pb.StatusUpdate:
        """Return the message as it is sent to the coordinator."""
        update = pb.StatusUpdate(worker_id=worker_id, now_us=now_us())
        for attempt in self.starts:
            update.started.add(
                task_id=attempt.task_id,
                lease=attempt.lease,
                token=attempt.token,
                attempt=attempt.number,
                started_at_us=attempt.started_at_us,
            )
        for attempt, chunk in self.chunks:
            update.output.add(
                task_id=attempt.task_id,
                lease=attempt.lease,
                token=attempt.token,
                attempt=attempt.number,
                seq=chunk.seq,
                stream=chunk.stream,
                text=chunk.text,
                at_us=chunk.at_us,
            )
        for attempt, ending in self.ends:
            _add_end(update, attempt, ending)
        for attempt in self.declined:
            update.declined.add(task_id=attempt.task_id, lease=attempt.lease, token=attempt.token)
        return update


def _add_end(update: pb.StatusUpdate, attempt: Attempt, ending: Ending) -> None:
    if isinstance(ending, Succeeded):
        update.completed.add(
            task_id=attempt.task_id,
            lease=attempt.lease,
            token=attempt.token,
            attempt=attempt.number,
            started_at_us=ending.started_at_us,
            finished_at_us=ending.finished_at_us,
            result=ending.result,
        )
        return
    update.failed.add(
        task_id=attempt.task_id,
        lease=attempt.lease,
        token=attempt.token,
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


def text_size(text: str) -> int:
    """Return the bytes that a text takes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def end_size(ending: Ending) -> int:
    """Return the approximate bytes that an ending takes."""
    text = ending.result if isinstance(ending, Succeeded) else ending.traceback
    return text_size(text)
