"""Test the names that the daemon, the models and the pools share."""

from __future__ import annotations

import pytest

from taskmaster.workers.models.pool import Executor
from taskmaster.workers.names import EXECUTORS, is_pool_name


@pytest.mark.parametrize("name", ["a", "default", "rack-7", "0", "a" * 63])
def test_dns_labels_are_pool_names(name: str) -> None:
    assert is_pool_name(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a.b", "a_b", "a\n", "a" * 64, "é"])
def test_other_texts_are_not_pool_names(name: str) -> None:
    assert not is_pool_name(name)


def test_pools_offer_every_executor_of_a_worker() -> None:
    assert tuple(Executor.values) == EXECUTORS
