"""Store times as histograms, for cheap sums and percentiles. The step is the square root of two."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

#: Number of entries: one below 1 ms, then two for each doubling. The last starts at 9 hours.
SIZE = 52


def slot(seconds: float) -> int:
    """Return the index of the entry for a time.

    It is 0 below 1 ms, and i from 2^((i-1)/2) to 2^(i/2) ms. The last entry has no upper limit.
    """
    if seconds < 0.001:
        return 0
    return min(SIZE - 1, int(2 * log2(seconds * 1_000)) + 1)


def histogram(times: Sequence[float], weight: int = 1) -> list[int]:
    """Return the histogram of times in seconds, empty if there are none. Each counts `weight`."""
    if not times:
        return []
    counts = [0] * SIZE
    for seconds in times:
        counts[slot(seconds)] += weight
    return counts


def percentile(counts: Sequence[int], share: float) -> float | None:
    """Return the time in seconds below which `share` of the times lie, or None if there are none.

    The value is interpolated linearly within an entry. Its error is below the width of that entry:
    41% of the entry's lower limit, or 1 ms for the first entry. Times in the last entry count as at
    most 13 hours.
    """
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
