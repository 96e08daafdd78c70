"""Test the decisions that follow from an observation."""

from __future__ import annotations

import signal

import pytest

from taskmaster.tasks.conf import Settings
from taskmaster.workers.daemon import options
from taskmaster.workers.pools.provider import DeadWorker, ObservedPool, tail
from taskmaster.workers.pools.reconcile_policy import (
    Decision,
    decide,
    decide_after_failure,
    desired_pool,
    is_backing_off,
)
from taskmaster.workers.store.pool_store import PoolFindings, PoolRow

CALM = PoolFindings(0, 0, 0, "steady", "", "", 0, None)


def a_pool(desired: int, staying: int = 0, provider: str = "local", **found: object) -> PoolRow:
    findings = CALM._replace(**found)  # type: ignore[arg-type]
    return PoolRow("herons", provider, desired, 1, "thread", [], {}, 30, findings, None, staying)


def after(decision: Decision, desired: int, waited_s: float) -> PoolRow:
    """Return the pool's row after the decision, some time later."""
    left_s = decision.findings.retry_in_s
    found = decision.findings._replace(retry_in_s=None if left_s is None else left_s - waited_s)
    return a_pool(desired)._replace(found=found)


def test_missing_workers_are_started_and_surplus_ones_stopped() -> None:
    assert decide(a_pool(10), ObservedPool(3)).count == 10
    assert decide(a_pool(1), ObservedPool(50)).count == 1
    at_rest = decide(a_pool(3, 3), ObservedPool(3))
    assert (at_rest.count, at_rest.findings.state) == (None, "steady")


@pytest.mark.parametrize(
    ("seen", "staying"), [(ObservedPool(3), 2), (ObservedPool(3, 1), 3), (ObservedPool(2), 2)]
)
def test_a_pool_is_steady_when_all_are_registered_and_none_is_stopping(
    seen: ObservedPool, staying: int
) -> None:
    assert decide(a_pool(3, staying), seen).findings.state == "scaling"


def test_after_deaths_at_start_delays_double_and_workers_start_one_at_a_time() -> None:
    death = (DeadWorker(1, "no module named x", 0.3),)
    pauses = []
    pool = a_pool(10)
    for _ in range(8):
        paused = decide(pool, ObservedPool(0, 0, death))
        pauses.append(paused.findings.retry_in_s)
        assert (paused.count, paused.findings.state) == (None, "backing_off")
        assert paused.findings.last_log == "no module named x"
        # Others that were started together die a moment later: the delay stays the same.
        again = decide(after(paused, 10, 0.1), ObservedPool(0, 0, death))
        assert (again.findings.failures, again.messages) == (paused.findings.failures, ())
        assert again.findings.state == "backing_off"
        # Until the delay is over, no worker is started.
        assert decide(after(paused, 10, 0.5), ObservedPool(0)).count is None
        tried = decide(after(paused, 10, 61), ObservedPool(0))
        assert (tried.count, tried.findings.state) == (1, "scaling")
        pool = after(tried, 10, 1)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    # Until it has lived for 10 s, no other is started; then all are, and the failures are cleared.
    assert decide(after(tried, 10, 5), ObservedPool(1)).count is None
    well = decide(after(tried, 10, 11), ObservedPool(1))
    assert (well.count, well.findings.failures, well.findings.last_log) == (10, 0, "")


def test_a_worker_that_dies_later_is_replaced_immediately() -> None:
    decision = decide(a_pool(3, 2), ObservedPool(2, 0, (DeadWorker(-signal.SIGKILL, "", 60),)))
    assert (decision.count, decision.findings.failures) == (3, 0)
    assert decision.messages == ("pool herons: a worker ended (SIGKILL) and is replaced",)


@pytest.mark.parametrize(
    ("code", "description"),
    [
        (-signal.SIGSEGV, "SIGSEGV"),
        (-35, "signal 35"),
        (3, "exit code 3"),
        (None, "unknown exit status"),
    ],
)
def test_the_end_of_a_worker_is_described(code: int | None, description: str) -> None:
    [words] = decide(a_pool(1), ObservedPool(0, 0, (DeadWorker(code, "", 60),))).messages
    assert f"({description}" in words


def test_the_end_of_any_log_can_be_stored() -> None:
    assert tail("a\0b\n") == "a\ufffdb"
    assert tail("".join(f"{line}\n" for line in range(30))).splitlines() == [
        str(line) for line in range(10, 30)
    ]


def test_the_back_off_of_an_engine_is_shown() -> None:
    decision = decide(
        a_pool(3, provider="kubernetes"), ObservedPool(1, 0, (DeadWorker(1, "x", 0.0),))
    )
    assert (decision.count, decision.findings.state) == (3, "backing_off")


def test_a_failing_provider_is_reported_once_and_retried_with_growing_pauses() -> None:
    first = decide_after_failure(a_pool(3, actual=2), "no Docker here")
    assert first.findings[3:5] == ("provider_failed", "no Docker here")
    assert first.findings.actual == 2
    assert len(first.messages) == 1
    assert is_backing_off(after(first, 3, 0.5))
    assert not is_backing_off(after(first, 3, 1.5))
    second = decide_after_failure(after(first, 3, 1.5), "no Docker here")
    assert (second.messages, second.findings.retry_in_s) == ((), 2)
    mended = decide(after(second, 3, 3), ObservedPool(2))
    assert (mended.count, mended.findings.failures, mended.findings.error) == (3, 0, "")


def test_a_worker_parses_its_pool_s_options_with_any_queue_names() -> None:
    found = PoolFindings(0, 0, 0, "steady", "", "", 0, None)
    pool = PoolRow("herons", "local", 3, 7, "thread", ["-a", "b.c"], {}, 30, found, None, 0)
    chosen = options.parse(desired_pool(pool).argv, {}, Settings())
    assert (chosen.pool, chosen.executor, chosen.slots) == ("herons", "thread", 7)
    assert chosen.queues == ("-a", "b.c")
    # The command line of `manage.py runworker` also parses to the same queues.
    assert options.parse(chosen.argv(), {}, Settings()).queues == chosen.queues
    assert (desired_pool(pool).count, desired_pool(pool, 1).count) == (3, 1)


def test_a_variable_that_the_setting_no_longer_lists_does_not_reach_the_provider() -> None:
    stored = a_pool(1)._replace(environment={"TZ": "UTC", "LD_PRELOAD": "/tmp/x.so"})
    assert desired_pool(stored).environment == {"TZ": "UTC"}
