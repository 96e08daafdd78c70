"""Says that tasks were submitted."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import DEFAULT_DB_ALIAS

from tasks.events.event import Kind, NewEvent
from tasks.events.fold import SINGLES_MAX
from tasks.events.publish import publish
from tasks.submission import NewTask


def submitted(
    ids: Sequence[int], tasks: Sequence[NewTask], by: str = "", *, using: str = DEFAULT_DB_ALIAS
) -> None:
    """Publishes it: line by line, or as a count for each queue.

    For who submits over an interface; `enqueue` itself publishes nothing, since it would cost more
    than the submission.
    """
    if len(ids) > SINGLES_MAX:
        queues: dict[str, int] = {}
        for task in tasks:
            queues[task.queue] = queues.get(task.queue, 0) + 1
        lines = [
            NewEvent(
                Kind.SUBMITTED, _text(f"{count:,} tasks to {queue}", by), queue=queue, user=by,
                count=count,
            )
            for queue, count in queues.items()
        ]  # fmt: skip
    else:
        lines = [
            NewEvent(
                Kind.SUBMITTED, _text(f"to {task.queue}", by), task_id, task.name, task.queue,
                user=by,
            )
            for task_id, task in zip(ids, tasks, strict=True)
        ]  # fmt: skip
    publish(lines, using=using)


def _text(text: str, by: str) -> str:
    return f"{text} by {by}" if by else text
