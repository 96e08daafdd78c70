"""Test offers that wait for a slot."""

from __future__ import annotations

from taskmaster.workers.daemon.attempt import Attempt
from taskmaster.workers.daemon.waiting_offers import WAIT_S, WaitingOffers
from tests.waiting import until
from tests.workers.daemon.sample import an_attempt


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_an_offer_that_waits_too_long_is_declined_and_the_newer_one_stays() -> None:
    declined: list[Attempt] = []
    clock = Clock()
    clock.now = 100.0
    offers = WaitingOffers(declined.append, clock)
    old, fresh = an_attempt(1), an_attempt(2)
    old.offered_at, fresh.offered_at = 100.0 - 2 * WAIT_S, 100.0
    offers.extend([old, fresh])
    offers.schedule_decline()
    await until(lambda: declined)
    assert declined == [old]
    assert list(offers) == [fresh]
    clock.now += 2 * WAIT_S
    await until(lambda: not offers)
    assert declined == [old, fresh]


async def test_while_slots_are_being_freed_offers_wait_longer() -> None:
    declined: list[Attempt] = []
    clock = Clock()
    clock.now = 100.0
    offers = WaitingOffers(declined.append, clock)
    offers.accept_timeout_s = 2.0
    waiting, late = an_attempt(1), an_attempt(2)
    late.offered_at, waiting.offered_at = 99.0, 100.0 - 2 * WAIT_S
    offers.extend([late, waiting])
    offers.freed_at = 100.0
    offers.schedule_decline()
    await until(lambda: declined)
    assert declined == [late]
    assert list(offers) == [waiting]


async def test_removed_offers_are_neither_run_nor_declined() -> None:
    declined: list[Attempt] = []
    offers = WaitingOffers(declined.append, Clock())
    first, second = an_attempt(1, lease=4), an_attempt(2, lease=4)
    offers.extend([first, second])
    offers.remove_keys({(1, 4), (9, 9)})
    assert list(offers) == [second]
    offers.decline_all()
    assert declined == [second]
