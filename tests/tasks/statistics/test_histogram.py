"""Test percentiles of histograms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskmaster.tasks.statistics.histogram import SIZE, histogram, percentile, slot

times = st.floats(0, 40_000, allow_nan=False)


def test_an_empty_histogram_has_no_percentile() -> None:
    assert percentile([0] * SIZE, 0.5) is None


@given(st.lists(times, min_size=1, max_size=200), st.sampled_from([0.5, 0.95]))
def test_a_percentile_is_within_a_step_of_the_exact_one(seconds: list[float], share: float) -> None:
    exact = sorted(seconds)[max(0, -(-int(share * 100) * len(seconds) // 100) - 1)]
    found = percentile(histogram(seconds), share)
    assert found is not None
    assert found <= max(0.001, exact * 2**0.5 * 1.0001)
    assert found >= 0 if exact < 0.001 else found >= exact / 2**0.5 * 0.9999


@given(st.lists(times))
def test_each_time_is_counted_once(seconds: list[float]) -> None:
    assert sum(histogram(seconds)) == len(seconds)


@given(times, times)
def test_a_longer_time_is_never_in_a_lower_bucket(one: float, other: float) -> None:
    shorter, longer = sorted((one, other))
    assert slot(shorter) <= slot(longer)


@pytest.mark.parametrize(
    ("seconds", "entry"), [(-1, 0), (0, 0), (0.0009, 0), (0.001, 1), (1e9, 51)]
)
def test_the_edges_belong_to_a_bucket(seconds: float, entry: int) -> None:
    assert slot(seconds) == entry
