"""Credits, queues, order, and what becomes of offers that nobody accepts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.dispatcher import Dispatcher
from coordinator.links import Demand
from tasks.conf import Settings
from tasks.reports import Adopted, Lease
from tests.coordinator.sample import Clock, claimed, connected, lease, sent

CONF = Settings(prefetch_max=10, accept_timeout_s=2.0)


class World:
    """A dispatcher, its clock, and what it told its collaborators."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.released: list[Lease] = []
        self.rooms = 0
        self.receipts_late = False
        self.dispatcher = Dispatcher(
            CONF,
            on_room=self._room,
            on_release=self._release,
            receipts_late=lambda: self.receipts_late,
            clock=self.clock,
        )

    def _room(self) -> None:
        self.rooms += 1

    def _release(self, leases: Sequence[Lease]) -> None:
        self.released.extend(leases)


@pytest.fixture
def world() -> World:
    return World()


# ---- credits ------------------------------------------------------------------------------------


def test_a_worker_is_offered_no_more_than_its_slots(world: World) -> None:
    link = connected(world.dispatcher, slots=3)
    tasks = [claimed() for _ in range(5)]
    left = world.dispatcher.offer(tasks)
    assert [offer.task_id for offer in sent(link)] == [task.task_id for task in tasks[:3]]
    assert left == tasks[3:]
    assert world.dispatcher.demands() == [Demand(None, 0)]
    assert world.dispatcher.in_flight == 3


def test_an_end_frees_a_credit_and_says_so(world: World) -> None:
    link = connected(world.dispatcher, slots=1)
    [first, second] = [claimed(), claimed()]
    world.dispatcher.offer([first])
    world.dispatcher.accepted(link, [lease(first)])
    assert world.dispatcher.offer([second]) == [second]
    rooms = world.rooms
    world.dispatcher.ended(link, [lease(first)], mean_run_s=1.0)
    assert world.rooms == rooms + 1
    assert world.dispatcher.offer([second]) == []


def test_a_report_of_another_lease_frees_no_credit(world: World) -> None:
    link = connected(world.dispatcher, slots=1)
    task = claimed(lease=5)
    world.dispatcher.offer([task])
    world.dispatcher.ended(link, [Lease(task.task_id, 4), Lease(task.task_id + 1, 5)], None)
    assert link.room(0) == 0


def test_a_worker_of_short_tasks_gets_a_small_prefetch_and_one_of_long_tasks_none(
    world: World,
) -> None:
    quick = connected(world.dispatcher, slots=2)
    for _ in range(40):
        world.dispatcher.ended(quick, [], mean_run_s=0.001)
    assert 2 < quick.room(CONF.prefetch_max) <= 2 + CONF.prefetch_max
    left = world.dispatcher.offer([claimed() for _ in range(100)])
    assert len(sent(quick)) == 100 - len(left) <= 2 + CONF.prefetch_max
    for _ in range(40):
        world.dispatcher.ended(quick, [], mean_run_s=60.0)
    assert quick.room(CONF.prefetch_max) == 0


def test_without_prefetch_only_a_free_slot_will_do(world: World) -> None:
    quick = connected(world.dispatcher, slots=2)
    for _ in range(40):
        world.dispatcher.ended(quick, [], mean_run_s=0.001)
    tasks = [claimed() for _ in range(3)]
    assert world.dispatcher.offer(tasks, prefetch=False) == tasks[2:]


def test_free_slots_are_filled_before_any_prefetch(world: World) -> None:
    links = [connected(world.dispatcher, slots=2) for _ in range(3)]
    for _ in range(40):
        world.dispatcher.ended(links[0], [], mean_run_s=0.001)
    world.dispatcher.offer([claimed() for _ in range(6)])
    assert [len(sent(link)) for link in links] == [2, 2, 2]


def test_what_a_worker_brings_along_counts_against_its_slots(world: World) -> None:
    running = (Lease(900, 3), Adopted(900, attempt=1, max_attempts=3, queue="default"))
    link = connected(world.dispatcher, slots=2, running=[running])
    assert link.room(0) == 1
    world.dispatcher.ended(link, [Lease(900, 3)], None)
    assert link.room(0) == 2


# ---- queues and order ---------------------------------------------------------------------------


def test_a_task_goes_only_to_a_worker_that_serves_its_queue(world: World) -> None:
    a = connected(world.dispatcher, slots=9, queues=frozenset({"a"}))
    b = connected(world.dispatcher, slots=9, queues=frozenset({"b", "c"}))
    tasks = [claimed(queue=queue) for queue in "abcdabcd"]
    left = world.dispatcher.offer(tasks)
    assert [offer.queue for offer in sent(a)] == ["a", "a"]
    assert [offer.queue for offer in sent(b)] == ["b", "c", "b", "c"]
    assert [task.queue for task in left] == ["d", "d"]


def test_a_full_worker_does_not_stand_before_one_that_has_room(world: World) -> None:
    narrow = connected(world.dispatcher, slots=1, queues=frozenset({"a"}))
    wide = connected(world.dispatcher, slots=4)
    left = world.dispatcher.offer([claimed(queue="a") for _ in range(6)])
    assert (len(sent(narrow)), len(sent(wide)), len(left)) == (1, 4, 1)


def test_tasks_are_offered_in_the_order_they_come(world: World) -> None:
    link = connected(world.dispatcher, slots=3)
    tasks = [claimed(priority=priority) for priority in (9, 5, 5, 0)]
    left = world.dispatcher.offer(tasks)
    assert [offer.priority for offer in sent(link)] == [9, 5, 5]
    assert left == tasks[3:]


def test_demands_are_grouped_by_queues_the_narrowest_first(world: World) -> None:
    connected(world.dispatcher, slots=4)
    connected(world.dispatcher, slots=1, queues=frozenset({"a", "b"}))
    connected(world.dispatcher, slots=2, queues=frozenset({"a"}))
    connected(world.dispatcher, slots=3, queues=frozenset({"a"}))
    assert world.dispatcher.demands() == [
        Demand(frozenset({"a"}), 5),
        Demand(frozenset({"a", "b"}), 1),
        Demand(None, 4),
    ]


def test_an_offer_says_which_attempt_begins(world: World) -> None:
    link = connected(world.dispatcher)
    task = claimed(attempt=2, lease=8, args="[1]", kwargs="{}", timeout_s=1.5)
    world.dispatcher.offer([task])
    [offer] = sent(link)
    assert (offer.task_id, offer.lease, offer.attempt) == (task.task_id, 8, 3)
    assert (offer.args, offer.kwargs, offer.timeout_ms) == ("[1]", "", 1_500)


# ---- offers that nobody accepts -----------------------------------------------------------------


def test_an_offer_that_is_not_accepted_returns_within_the_time_out(world: World) -> None:
    link = connected(world.dispatcher, slots=4)
    kept, taken = claimed(), claimed()
    world.dispatcher.offer([kept, taken])
    world.dispatcher.accepted(link, [lease(taken)])
    world.clock.now += 1.5
    world.dispatcher.withdraw_expired()
    assert world.released == []
    world.clock.now += 0.5
    world.dispatcher.withdraw_expired()
    assert world.released == [lease(kept)]
    # The worker is told, ahead of any offer, and what was not sent yet is not sent any more.
    [command] = link.commands
    assert [(x.task_id, x.lease) for x in command.stale.executions] == [lease(kept)]
    assert [offer.task_id for offer in link.outbox] == [taken.task_id]
    assert list(link.flights) == [taken.task_id]


def test_no_offer_expires_while_workers_wait_for_their_receipts(world: World) -> None:
    connected(world.dispatcher, slots=4)
    kept = claimed()
    world.dispatcher.offer([kept])
    world.receipts_late = True
    for _ in range(100):
        world.clock.now += 0.1
        world.dispatcher.withdraw_expired()
    # From now on the worker can say it, and has the whole time for it.
    world.receipts_late = False
    world.clock.now += 1.5
    world.dispatcher.withdraw_expired()
    assert world.released == []
    world.clock.now += 0.5
    world.dispatcher.withdraw_expired()
    assert world.released == [lease(kept)]


def test_a_worker_that_let_an_offer_expire_gets_nothing_until_it_answers(world: World) -> None:
    link = connected(world.dispatcher, slots=4)
    running, kept, next_one = claimed(), claimed(), claimed()
    world.dispatcher.offer([running, kept])
    world.dispatcher.accepted(link, [lease(running)])
    world.clock.now += 3.0
    world.dispatcher.withdraw_expired()
    assert world.dispatcher.demands() == [Demand(None, 0)]
    assert world.dispatcher.offer([next_one]) == [next_one]
    world.dispatcher.ended(link, [lease(running)], mean_run_s=3.0)
    assert world.dispatcher.offer([next_one]) == []


def test_declined_offers_free_their_credits_and_end_the_prefetch(world: World) -> None:
    link = connected(world.dispatcher, slots=2)
    for _ in range(40):
        world.dispatcher.ended(link, [], mean_run_s=0.001)
    tasks = [claimed() for _ in range(6)]
    assert world.dispatcher.offer(tasks) == []
    world.dispatcher.declined(link, [lease(task) for task in tasks])
    assert world.dispatcher.in_flight == 0
    assert link.room(CONF.prefetch_max) == 2
    # Releasing them is the flusher's: they are written with the rest of the report.
    assert world.released == []


def test_a_worker_that_leaves_gives_back_what_it_had_not_accepted(world: World) -> None:
    link = connected(world.dispatcher, slots=2)
    begun, offered = claimed(), claimed()
    world.dispatcher.offer([begun, offered])
    world.dispatcher.accepted(link, [lease(begun)])
    accepted = world.dispatcher.disconnect(link)
    assert [each for each, _ in accepted] == [lease(begun)]
    assert world.released == [lease(offered)]
    assert world.dispatcher.links == {}
    assert world.dispatcher.disconnect(link) == []
    assert world.released == [lease(offered)]


def test_a_worker_that_says_hello_again_replaces_itself(world: World) -> None:
    old = connected(world.dispatcher, slots=2)
    offered = claimed()
    world.dispatcher.offer([offered])
    new = type(old)(old.worker_id, old.name, None, 2)
    world.dispatcher.connect(new, [])
    assert world.dispatcher.links == {old.worker_id: new}
    assert (old.closed, world.released) == (True, [lease(offered)])
    world.dispatcher.disconnect(old)
    assert world.dispatcher.links == {old.worker_id: new}


def test_a_draining_worker_gets_nothing(world: World) -> None:
    connected(world.dispatcher).draining = True
    task = claimed()
    assert world.dispatcher.offer([task]) == [task]


@pytest.mark.parametrize("wanted", ["drain", "stop", "kill"])
def test_a_worker_that_is_told_to_leave_is_told_first_and_gets_nothing_more(
    world: World, wanted: str
) -> None:
    told, other = connected(world.dispatcher, slots=1), connected(world.dispatcher, slots=1)
    world.dispatcher.command(told.worker_id, wanted)
    [command] = told.commands
    assert command.WhichOneof("message") == wanted
    assert not other.commands
    tasks = [claimed(), claimed()]
    assert world.dispatcher.offer(tasks) == tasks[1:]
    assert [offer.task_id for offer in sent(other)] == [tasks[0].task_id]


def test_an_undrained_worker_gets_tasks_again_and_a_stranger_is_nobody(world: World) -> None:
    link = connected(world.dispatcher)
    world.dispatcher.command(link.worker_id, "drain")
    world.dispatcher.command(link.worker_id, "undrain")
    assert world.dispatcher.offer([claimed()]) == []
    world.dispatcher.command(uuid4(), "kill")
    assert [each.WhichOneof("message") for each in link.commands] == ["drain", "undrain"]


def test_a_cancelled_execution_is_stopped_where_it_is_and_nowhere_else(world: World) -> None:
    links = [connected(world.dispatcher, slots=1) for _ in range(2)]
    world.dispatcher.offer([claimed(), claimed(lease=2)])
    [doomed] = links[1].outbox
    world.dispatcher.cancel(Lease(doomed.task_id, doomed.lease + 1))
    assert not links[1].commands
    world.dispatcher.cancel(lease(doomed))
    [command] = links[1].commands
    assert [(x.task_id, x.lease) for x in command.cancel.executions] == [lease(doomed)]
    assert not links[1].outbox
    assert not links[0].commands
    assert (links[0].room(0), links[1].room(0)) == (0, 1)


# ---- whatever happens ---------------------------------------------------------------------------


@given(
    slots=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    steps=st.lists(
        st.tuples(st.sampled_from(["offer", "end", "accept", "wait"]), st.integers(0, 7))
    ),
)
def test_credits_are_never_exceeded_and_no_task_is_in_two_places(
    slots: list[int], steps: list[tuple[str, int]]
) -> None:
    world = World()
    links = [connected(world.dispatcher, slots=count) for count in slots]
    offered: Counter[Lease] = Counter()
    for step, number in steps:
        link = links[number % len(links)]
        flights = [Lease(task_id, flight.lease) for task_id, flight in link.flights.items()]
        if step == "offer":
            tasks = [claimed() for _ in range(number)]
            left = world.dispatcher.offer(tasks)
            offered.update(lease(task) for task in tasks if task not in left)
        elif step == "end":
            world.dispatcher.ended(link, flights[:number], mean_run_s=0.001)
            for each in flights[:number]:
                del offered[each]
        elif step == "accept":
            world.dispatcher.accepted(link, flights[:number])
        else:
            world.clock.now += number / 2
            world.dispatcher.withdraw_expired()
            for each in world.released:
                del offered[each]
            world.released.clear()
        in_flight = Counter(
            Lease(task_id, flight.lease) for x in links for task_id, flight in x.flights.items()
        )
        assert in_flight == offered
        for each in links:
            assert len(each.flights) <= each.slots + CONF.prefetch_max
