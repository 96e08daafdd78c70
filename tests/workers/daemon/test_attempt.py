"""Test attempts and their endings."""

from __future__ import annotations

import pytest

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.workers.daemon.attempt import Attempt, Failed
from taskmaster.workers.daemon.messages import Raised, RunTask
from tests.workers.daemon.sample import an_attempt

OFFER = pb.Offer(
    task_id=7,
    lease=3,
    attempt=2,
    name="shop.pay",
    args="[1]",
    kwargs='{"a":2}',
    timeout_ms=500,
    queue="mail",
    priority=-4,
    created_at_us=11,
    stop_on_lost_contact=True,
    scheduled_for_us=9,
)


def test_an_offer_becomes_the_message_that_its_child_receives() -> None:
    attempt = Attempt.from_offer(5, OFFER, 1.5)
    assert attempt.run == RunTask(5, "shop.pay", "[1]", '{"a":2}', 7, 2, 11, "mail", -4, 9)
    assert (attempt.id, attempt.task_id, attempt.lease, attempt.number) == (5, 7, 3, 2)
    assert attempt.key == (7, 3)
    assert (attempt.timeout_ms, attempt.stop_on_lost_contact, attempt.offered_at) == (
        500,
        True,
        1.5,
    )


@pytest.mark.parametrize(
    ("lease", "number", "suspected"), [(1, 1, False), (2, 1, True), (3, 3, False)]
)
def test_more_leases_than_attempts_mean_that_a_start_may_be_unreported(
    lease: int, number: int, suspected: bool
) -> None:
    offer = pb.Offer(task_id=1, lease=lease, attempt=number)
    assert Attempt.from_offer(1, offer, 0.0).may_have_started is suspected


def test_attempts_of_the_same_task_are_different() -> None:
    assert an_attempt() != an_attempt()


def test_an_exception_keeps_its_times_its_text_and_its_retry_delay() -> None:
    raised = Raised(1, 10, 20, "builtins.KeyError", "KeyError: 'x'", "trace", True, 2.5)
    assert Failed.from_exception(raised) == Failed(
        pb.EXIT_CLASS_RAISED,
        "KeyError: 'x'",
        "builtins.KeyError",
        "trace",
        code=0,
        final=True,
        started_at_us=10,
        finished_at_us=20,
        retry_after_s=2.5,
    )
