"""Test that offers which are not accepted in time are withdrawn."""

from __future__ import annotations

import pytest

from taskmaster.coordinator.dispatch.connections import Capacity
from taskmaster.tasks.conf import Settings
from tests.coordinator.sample import RecordedDispatcher, claimed, connected, lease


@pytest.fixture
def recorded() -> RecordedDispatcher:
    return RecordedDispatcher(Settings(accept_timeout_s=2.0))


def test_an_unaccepted_offer_is_released_within_the_time_out(recorded: RecordedDispatcher) -> None:
    worker = connected(recorded.dispatcher, slots=4)
    ignored, accepted = claimed(), claimed()
    recorded.dispatcher.offer([ignored, accepted])
    recorded.dispatcher.record_accepted(worker, [lease(accepted)])
    recorded.clock.now += 1.5
    recorded.offer_expiry.withdraw_expired()
    assert recorded.released == []
    recorded.clock.now += 0.5
    recorded.offer_expiry.withdraw_expired()
    assert recorded.released == [lease(ignored)]
    # The worker is notified before any offer is sent, and unsent offers are dropped.
    [command] = worker.commands
    assert [(x.task_id, x.lease) for x in command.stale.executions] == [lease(ignored)]
    assert [offer.task_id for offer in worker.outbox] == [accepted.task_id]
    assert list(worker.in_flight) == [accepted.task_id]


def test_no_offer_expires_while_acknowledgements_are_late(recorded: RecordedDispatcher) -> None:
    connected(recorded.dispatcher, slots=4)
    ignored = claimed()
    recorded.dispatcher.offer([ignored])
    recorded.acknowledgements_late = True
    for _ in range(100):
        recorded.clock.now += 0.1
        recorded.offer_expiry.withdraw_expired()
    # The worker can report again, and has the whole time-out for it.
    recorded.acknowledgements_late = False
    recorded.clock.now += 1.5
    recorded.offer_expiry.withdraw_expired()
    assert recorded.released == []
    recorded.clock.now += 0.5
    recorded.offer_expiry.withdraw_expired()
    assert recorded.released == [lease(ignored)]


def test_a_worker_that_let_an_offer_expire_gets_no_offers_until_its_next_report(
    recorded: RecordedDispatcher,
) -> None:
    worker = connected(recorded.dispatcher, slots=4)
    running, ignored, next_one = claimed(), claimed(), claimed()
    recorded.dispatcher.offer([running, ignored])
    recorded.dispatcher.record_accepted(worker, [lease(running)])
    recorded.clock.now += 3.0
    recorded.offer_expiry.withdraw_expired()
    assert recorded.dispatcher.capacities() == [Capacity(None, 0)]
    assert recorded.dispatcher.offer([next_one]) == [next_one]
    recorded.dispatcher.record_ended(worker, [lease(running)], mean_run_s=3.0)
    assert recorded.dispatcher.offer([next_one]) == []
