"""Limit the output that is stored for each attempt, whatever its worker sends."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from taskmaster.coordinator.support.log_throttle import LogThrottle
from taskmaster.tasks.messages import Lease, OutputChunk

#: Bytes beyond the setting for the line with which a worker marks what it has cut.
_MARK = 100
#: Most leases whose output is counted. The one that has waited longest for output is forgotten.
_LEASES_MAX = 20_000


class OutputLimit:
    """Count the stored output of each lease, and drop chunks that exceed `output_max_bytes`.

    Workers cut output to this setting, so a chunk that exceeds it is an error of the worker.
    """

    def __init__(self, output_max_bytes: int) -> None:
        self._max = output_max_bytes + _MARK
        self._stored: OrderedDict[Lease, int] = OrderedDict()
        self._refusals = LogThrottle()

    def within(self, chunks: Sequence[OutputChunk]) -> list[OutputChunk]:
        """Return the chunks that may be stored."""
        kept: list[OutputChunk] = []
        sizes: dict[Lease, int] = {}
        for chunk in chunks:
            lease = Lease(chunk.task_id, chunk.lease)
            size = sizes.get(lease, self._stored.get(lease, 0)) + _size(chunk.text)
            if size > self._max:
                self._refusals.warn(
                    "output dropped: it exceeds output_max_bytes", task=chunk.task_id
                )
                continue
            sizes[lease] = size
            kept.append(chunk)
        return kept

    def record(self, stored: Iterable[tuple[Lease, int]]) -> None:
        """Count stored chunks, given as lease and size in bytes."""
        for lease, size in stored:
            # An empty chunk counts, too, so that the number of rows is limited.
            self._stored[lease] = self._stored.pop(lease, 0) + max(1, size)
        while len(self._stored) > _LEASES_MAX:
            self._stored.popitem(last=False)


def _size(text: str) -> int:
    return max(1, len(text) if text.isascii() else len(text.encode()))
