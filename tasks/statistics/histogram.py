"""Times as histograms in steps of the square root of two: sums and percentiles are cheap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log2

#: Below 1 ms, then two steps an octave, up to 13 hours and beyond.
SIZE = 52


def slot(seconds: float) -> int:
    """Which entry counts this time: 0 below 1 ms, then i for 2^((i-1)/2) to 2^(i/2) ms."""
    if seconds < 0.001:
        return 0
    return min(SIZE - 1, int(2 * log2(seconds * 1_000)) + 1)


def histogram(times: Iterable[float], weight: int = 1) -> list[int]:
    """How many times, in seconds, fall into each entry; each of these stands for `weight`."""
    counts = [0] * SIZE
    for seconds in times:
        counts[slot(seconds)] += weight
    return counts


def percentile(counts: Sequence[int], share: float) -> float | None:
    """The time in seconds below which this share lies, off by a fifth at most; None of nothing."""
    total = sum(counts)
    if not total:
        return None
    rank, before = share * total, 0
    for index, count in enumerate(counts):
        if count and before + count >= rank:
            low = 0.0 if index == 0 else 2 ** ((index - 1) / 2)
            high = 2 ** (index / 2)
            return (low + (high - low) * (rank - before) / count) / 1_000
        before += count
    return None
