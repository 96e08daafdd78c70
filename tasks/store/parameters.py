"""Build the parameters of the statements: columns for `unnest`, and keys of advisory locks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from operator import attrgetter
from types import NoneType
from typing import Any
from uuid import UUID

from taskmaster.tasks.event import NewEvent
from taskmaster.tasks.messages import EndedTasks, Lease
from taskmaster.tasks.retention import Retention
from taskmaster.tasks.statements import advisory_key


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


#: Forms of the types that can be elements of a PostgreSQL array literal.
_ELEMENT: dict[type, Callable[[Any], str]] = {
    str: _quoted,
    int: int.__repr__,
    float: float.__repr__,
    UUID: attrgetter("hex"),
    NoneType: lambda _: "NULL",
}
#: Keys of the advisory locks that serialize publishers, and that a counting process holds. The
#: texts must not change: processes of two versions use the same lock during an upgrade.
PUBLISH_LOCK = advisory_key("publish")
_DEPTH_LOCK = advisory_key("census")
#: Lengths of the columns of an event's text and task name.
_TEXT_MAX, _NAME_MAX = 300, 200


def columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """Return the columns of `rows` as arrays, by name."""
    if not rows:
        return dict.fromkeys(names, "{}")
    return dict(zip(names, map(_array, zip(*rows, strict=True)), strict=True))


def array_literal(texts: Iterable[str]) -> str:
    """Return the text of an array of texts."""
    return f"{{{','.join(map(_quoted, texts))}}}"


def lease_columns(leases: Sequence[Lease]) -> dict[str, Any]:
    """Return the columns of leases."""
    return columns(("ids", "leases"), leases)


def event_parameters(events: Sequence[NewEvent]) -> dict[str, Any]:
    """Return the parameters of publish_events.sql. Texts are cut to the length of their columns."""
    return {
        "lock_key": PUBLISH_LOCK,
        "kinds": [str(each.kind) for each in events],
        "texts": [each.text[:_TEXT_MAX] for each in events],
        "task_ids": [each.task_id for each in events],
        "tasks": [each.task[:_NAME_MAX] for each in events],
        "queues": [each.queue for each in events],
        "workers": [each.worker for each in events],
        "worker_ids": [each.worker_id for each in events],
        "users": [each.user for each in events],
        "counts": [each.count for each in events],
    }


def ended_parameters(ended: EndedTasks, source: UUID | None) -> dict[str, Any]:
    """Return the parameters of record_completions.sql."""
    # psycopg adapts a tuple as a row, and a list as an array.
    times = {"wait": list(ended.wait), "run": list(ended.run)}
    return {**ended._asdict(), **times, "source": source}


def depth_parameters(fresh_s: float) -> dict[str, Any]:
    """Return the parameters of snapshot_queue_depth.sql."""
    return {"lock_key": _DEPTH_LOCK, "fresh_s": fresh_s}


def _array(column: Sequence[Any]) -> str | list[Any]:
    """Return a column as an array literal if all its types are known, else as a list.

    psycopg adapts each element of a list separately. That took a seventh of a coordinator's time,
    and a second for a text of 1 MB that consists of quotes.
    """
    kinds = set(map(type, column))
    if not kinds <= _ELEMENT.keys():
        return list(column)
    return f"{{{','.join([_ELEMENT[type(value)](value) for value in column])}}}"


def prune_parameters(
    retention: Retention, *, after: int, upper: int, batch: int
) -> dict[str, object]:
    """Return the parameters of prune_tasks.sql. The queue '' stands for the default times."""
    rules = [
        (queue, status.value, _seconds(kept))
        for queue, times in (("", retention.default), *retention.queues.items())
        for status, kept in times.items()
    ]
    return {
        "after": after,
        "upper": upper,
        "batch": batch,
        **columns(("queues", "statuses", "kept_s"), rules),
        "shortest_s": _seconds(retention.shortest()),
    }


def _seconds(kept: timedelta | None) -> float | None:
    return None if kept is None else kept.total_seconds()
