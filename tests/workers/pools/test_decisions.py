"""What follows from what was found."""

from __future__ import annotations

import signal

import pytest

from workers.pools.decisions import Decision, decide, fail, waits
from workers.pools.provider import Died, Observed, tail
from workers.pools.store import Findings, Pool

CALM = Findings(0, 0, 0, "steady", "", "", 0, None)


def a_pool(desired: int, staying: int = 0, provider: str = "local", **found: object) -> Pool:
    findings = CALM._replace(**found)  # type: ignore[arg-type]
    return Pool("herons", provider, desired, 1, "threads", [], {}, 30, findings, None, staying)


def after(decision: Decision, desired: int, waited_s: float) -> Pool:
    """The pool's row some time later."""
    left_s = decision.findings.retry_in_s
    found = decision.findings._replace(retry_in_s=None if left_s is None else left_s - waited_s)
    return a_pool(desired)._replace(found=found)


def test_what_is_missing_is_started_and_what_is_too_much_told_to_go() -> None:
    assert decide(a_pool(10), Observed(3)).count == 10
    assert decide(a_pool(1), Observed(50)).count == 1
    at_rest = decide(a_pool(3, 3), Observed(3))
    assert (at_rest.count, at_rest.findings.state) == (None, "steady")


@pytest.mark.parametrize(
    ("seen", "staying"), [(Observed(3), 2), (Observed(3, 1), 3), (Observed(2), 2)]
)
def test_a_pool_is_steady_when_all_are_registered_and_none_goes(
    seen: Observed, staying: int
) -> None:
    assert decide(a_pool(3, staying), seen).findings.state == "scaling"


def test_after_deaths_at_start_the_pauses_double_and_one_is_tried_at_a_time() -> None:
    death = (Died(1, "no module named x", 0.3),)
    pauses = []
    pool = a_pool(10)
    for _ in range(8):
        paused = decide(pool, Observed(0, 0, death))
        pauses.append(paused.findings.retry_in_s)
        assert (paused.count, paused.findings.state) == (None, "backing_off")
        assert paused.findings.last_log == "no module named x"
        # Others of those that were started together die a moment later: it is the same pause.
        again = decide(after(paused, 10, 0.1), Observed(0, 0, death))
        assert (again.findings.failures, again.words) == (paused.findings.failures, ())
        assert again.findings.state == "backing_off"
        # Until the pause is over nothing is started.
        assert decide(after(paused, 10, 0.5), Observed(0)).count is None
        tried = decide(after(paused, 10, 61), Observed(0))
        assert (tried.count, tried.findings.state) == (1, "scaling")
        pool = after(tried, 10, 1)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    # While it has not lived for 10 s, no other follows; then all do, and nothing is held against
    # the pool.
    assert decide(after(tried, 10, 5), Observed(1)).count is None
    well = decide(after(tried, 10, 11), Observed(1))
    assert (well.count, well.findings.failures, well.findings.last_log) == (10, 0, "")


def test_who_dies_later_is_replaced_at_once() -> None:
    decision = decide(a_pool(3, 2), Observed(2, 0, (Died(-signal.SIGKILL, "", 60),)))
    assert (decision.count, decision.findings.failures) == (3, 0)
    assert decision.words == ("pool herons: a worker ended (SIGKILL) and is replaced",)


@pytest.mark.parametrize(
    ("code", "said"),
    [(-signal.SIGSEGV, "SIGSEGV"), (-35, "signal 35"), (3, "exit code 3"), (None, "nobody saw")],
)
def test_however_a_worker_ended_it_is_said(code: int | None, said: str) -> None:
    [words] = decide(a_pool(1), Observed(0, 0, (Died(code, "", 60),))).words
    assert f"({said}" in words


def test_the_end_of_a_log_can_be_stored_whatever_was_in_it() -> None:
    assert tail("a\0b\n") == "a\ufffdb"
    assert tail("".join(f"{line}\n" for line in range(30))).splitlines() == [
        str(line) for line in range(10, 30)
    ]


def test_an_engine_backs_off_by_itself() -> None:
    decision = decide(a_pool(3, provider="kubernetes"), Observed(1, 0, (Died(1, "x", 0.0),)))
    assert (decision.count, decision.findings.state) == (3, "backing_off")


def test_a_provider_that_fails_is_told_of_once_and_left_alone_for_longer_each_time() -> None:
    first = fail(a_pool(3, actual=2), "no Docker here")
    assert first.findings[3:5] == ("provider_failed", "no Docker here")
    assert first.findings.actual == 2
    assert len(first.words) == 1
    assert waits(after(first, 3, 0.5))
    assert not waits(after(first, 3, 1.5))
    second = fail(after(first, 3, 1.5), "no Docker here")
    assert (second.words, second.findings.retry_in_s) == ((), 2)
    mended = decide(after(second, 3, 3), Observed(2))
    assert (mended.count, mended.findings.failures, mended.findings.error) == (3, 0, "")
