"""Test which worker gets which task, and the state of tasks in flight."""

from __future__ import annotations

from collections import Counter
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskmaster.coordinator.dispatch.connections import Capacity
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.messages import AdoptedAttempt, Lease
from tests.coordinator.sample import RecordedDispatcher, claimed, connected, lease, sent

CONF = Settings(prefetch_max=10, accept_timeout_s=2.0)


@pytest.fixture
def recorded() -> RecordedDispatcher:
    return RecordedDispatcher(CONF)


# ---- capacity -----------------------------------------------------------------------------------


def test_a_worker_is_offered_no_more_than_its_slots(recorded: RecordedDispatcher) -> None:
    worker = connected(recorded.dispatcher, slots=3)
    tasks = [claimed() for _ in range(5)]
    left = recorded.dispatcher.offer(tasks)
    assert [offer.task_id for offer in sent(worker)] == [task.task_id for task in tasks[:3]]
    assert left == tasks[3:]
    assert recorded.dispatcher.capacities() == [Capacity(None, 0)]
    assert recorded.dispatcher.in_flight == 3


def test_an_ended_task_frees_a_slot_and_wakes_the_claimer(recorded: RecordedDispatcher) -> None:
    worker = connected(recorded.dispatcher, slots=1)
    [first, second] = [claimed(), claimed()]
    recorded.dispatcher.offer([first])
    recorded.dispatcher.record_accepted(worker, [lease(first)])
    assert recorded.dispatcher.offer([second]) == [second]
    calls = recorded.capacity_calls
    recorded.dispatcher.record_ended(worker, [lease(first)], mean_run_s=1.0)
    assert recorded.capacity_calls == calls + 1
    assert recorded.dispatcher.offer([second]) == []


def test_a_report_of_another_lease_frees_no_slot(recorded: RecordedDispatcher) -> None:
    worker = connected(recorded.dispatcher, slots=1)
    task = claimed(lease=5)
    recorded.dispatcher.offer([task])
    recorded.dispatcher.record_ended(
        worker, [Lease(task.task_id, 4), Lease(task.task_id + 1, 5)], None
    )
    assert worker.capacity(0) == 0


def test_a_worker_gets_a_small_prefetch_while_its_tasks_are_short(
    recorded: RecordedDispatcher,
) -> None:
    quick = connected(recorded.dispatcher, slots=2)
    for _ in range(40):
        recorded.dispatcher.record_ended(quick, [], mean_run_s=0.001)
    assert 2 < quick.capacity(CONF.prefetch_max) <= 2 + CONF.prefetch_max
    left = recorded.dispatcher.offer([claimed() for _ in range(100)])
    assert len(sent(quick)) == 100 - len(left) <= 2 + CONF.prefetch_max
    for _ in range(40):
        recorded.dispatcher.record_ended(quick, [], mean_run_s=60.0)
    assert quick.capacity(CONF.prefetch_max) == 0


def test_without_prefetch_only_free_slots_get_offers(recorded: RecordedDispatcher) -> None:
    quick = connected(recorded.dispatcher, slots=2)
    for _ in range(40):
        recorded.dispatcher.record_ended(quick, [], mean_run_s=0.001)
    tasks = [claimed() for _ in range(3)]
    assert recorded.dispatcher.offer(tasks, prefetch=0) == tasks[2:]


def test_free_slots_are_filled_before_any_prefetch(recorded: RecordedDispatcher) -> None:
    workers = [connected(recorded.dispatcher, slots=2) for _ in range(3)]
    for _ in range(40):
        recorded.dispatcher.record_ended(workers[0], [], mean_run_s=0.001)
    recorded.dispatcher.offer([claimed() for _ in range(6)])
    assert [len(sent(worker)) for worker in workers] == [2, 2, 2]


def test_adopted_tasks_use_slots(recorded: RecordedDispatcher) -> None:
    running = (Lease(900, 3), AdoptedAttempt(900, attempt=1, max_attempts=3, queue="default"))
    worker = connected(recorded.dispatcher, slots=2, running=[running])
    assert worker.capacity(0) == 1
    recorded.dispatcher.record_ended(worker, [Lease(900, 3)], None)
    assert worker.capacity(0) == 2


# ---- queues and order ---------------------------------------------------------------------------


def test_a_task_goes_only_to_a_worker_that_serves_its_queue(recorded: RecordedDispatcher) -> None:
    a = connected(recorded.dispatcher, slots=9, queues=frozenset({"a"}))
    b = connected(recorded.dispatcher, slots=9, queues=frozenset({"b", "c"}))
    tasks = [claimed(queue=queue) for queue in "abcdabcd"]
    left = recorded.dispatcher.offer(tasks)
    assert [offer.queue for offer in sent(a)] == ["a", "a"]
    assert [offer.queue for offer in sent(b)] == ["b", "c", "b", "c"]
    assert [task.queue for task in left] == ["d", "d"]


def test_a_full_worker_is_skipped(recorded: RecordedDispatcher) -> None:
    narrow = connected(recorded.dispatcher, slots=1, queues=frozenset({"a"}))
    wide = connected(recorded.dispatcher, slots=4)
    left = recorded.dispatcher.offer([claimed(queue="a") for _ in range(6)])
    assert (len(sent(narrow)), len(sent(wide)), len(left)) == (1, 4, 1)


def test_tasks_are_offered_in_the_given_order(recorded: RecordedDispatcher) -> None:
    worker = connected(recorded.dispatcher, slots=3)
    tasks = [claimed(priority=priority) for priority in (9, 5, 5, 0)]
    left = recorded.dispatcher.offer(tasks)
    assert [offer.priority for offer in sent(worker)] == [9, 5, 5]
    assert left == tasks[3:]


def test_capacities_are_grouped_by_queues_smallest_set_first(recorded: RecordedDispatcher) -> None:
    connected(recorded.dispatcher, slots=4)
    connected(recorded.dispatcher, slots=1, queues=frozenset({"a", "b"}))
    connected(recorded.dispatcher, slots=2, queues=frozenset({"a"}))
    connected(recorded.dispatcher, slots=3, queues=frozenset({"a"}))
    assert recorded.dispatcher.capacities() == [
        Capacity(frozenset({"a"}), 5),
        Capacity(frozenset({"a", "b"}), 1),
        Capacity(None, 4),
    ]


def test_capacities_are_grouped_by_names_too(recorded: RecordedDispatcher) -> None:
    old, new = frozenset({"a"}), frozenset({"a", "b"})
    connected(recorded.dispatcher, slots=4)
    connected(recorded.dispatcher, slots=1, names=set(new))
    connected(recorded.dispatcher, slots=2, names=set(old))
    connected(recorded.dispatcher, slots=3, names=set(old))
    groups = recorded.dispatcher.capacities()
    assert groups == [Capacity(None, 5, old), Capacity(None, 1, new), Capacity(None, 4)]
    assert [each.knows("b") for each in groups] == [False, True, True]
    assert recorded.dispatcher.capacity_of(groups[0]) == 5
    # One object for equal sets: they are compared often, and there may be thousands of names.
    assert len({id(each.names) for each in recorded.dispatcher.workers.values()}) == 3


def test_a_task_is_offered_only_to_workers_that_know_its_name(
    recorded: RecordedDispatcher,
) -> None:
    old = connected(recorded.dispatcher, slots=9, names={"a"})
    new = connected(recorded.dispatcher, slots=2, names={"a", "b"})
    tasks = [claimed(name="b") for _ in range(3)]
    assert recorded.dispatcher.offer(tasks) == tasks[2:]
    assert (len(sent(old)), len(sent(new))) == (0, 2)
    knows = recorded.dispatcher.knows
    assert (knows("default", "a"), knows("default", "b"), knows("default", "c")) == (
        True, True, False,
    )  # fmt: skip
    new.draining = True
    assert not knows("default", "b")


def test_an_offer_contains_the_number_of_the_next_attempt(recorded: RecordedDispatcher) -> None:
    worker = connected(recorded.dispatcher)
    task = claimed(attempt=2, lease=8, args="[1]", kwargs="{}", timeout_s=1.5)
    recorded.dispatcher.offer([task])
    [offer] = sent(worker)
    assert (offer.task_id, offer.lease, offer.attempt) == (task.task_id, 8, 3)
    assert (offer.args, offer.kwargs, offer.timeout_ms) == ("[1]", "", 1_500)


# ---- connections, reports and commands ----------------------------------------------------------


def test_declined_offers_free_their_slots_and_end_the_prefetch(
    recorded: RecordedDispatcher,
) -> None:
    worker = connected(recorded.dispatcher, slots=2)
    for _ in range(40):
        recorded.dispatcher.record_ended(worker, [], mean_run_s=0.001)
    tasks = [claimed() for _ in range(6)]
    assert recorded.dispatcher.offer(tasks) == []
    recorded.dispatcher.record_handed_back(worker, [lease(task) for task in tasks])
    assert recorded.dispatcher.in_flight == 0
    assert worker.capacity(CONF.prefetch_max) == 2
    # The flusher releases them, with the rest of the report.
    assert recorded.released == []


def test_unaccepted_offers_of_a_disconnected_worker_are_released(
    recorded: RecordedDispatcher,
) -> None:
    worker = connected(recorded.dispatcher, slots=2)
    started, offered = claimed(), claimed()
    recorded.dispatcher.offer([started, offered])
    recorded.dispatcher.record_accepted(worker, [lease(started)])
    accepted = recorded.dispatcher.disconnect(worker)
    assert accepted == [lease(started)]
    assert recorded.released == [lease(offered)]
    assert recorded.dispatcher.workers == {}
    assert recorded.dispatcher.disconnect(worker) == []
    assert recorded.released == [lease(offered)]


def test_a_new_connection_replaces_the_earlier_one_of_the_same_worker(
    recorded: RecordedDispatcher,
) -> None:
    old = connected(recorded.dispatcher, slots=2)
    offered = claimed()
    recorded.dispatcher.offer([offered])
    new = type(old)(old.id, old.name, None, 2)
    recorded.dispatcher.connect(new, [], {})
    assert recorded.dispatcher.workers == {old.id: new}
    assert (old.closed, recorded.released) == (True, [lease(offered)])
    recorded.dispatcher.disconnect(old)
    assert recorded.dispatcher.workers == {old.id: new}


def test_a_draining_worker_gets_no_offers(recorded: RecordedDispatcher) -> None:
    connected(recorded.dispatcher).draining = True
    task = claimed()
    assert recorded.dispatcher.offer([task]) == [task]


@pytest.mark.parametrize("wanted", ["drain", "stop", "kill"])
def test_a_command_to_leave_is_sent_and_stops_offers(
    recorded: RecordedDispatcher, wanted: str
) -> None:
    worker, other = connected(recorded.dispatcher, slots=1), connected(recorded.dispatcher, slots=1)
    recorded.dispatcher.send_command(worker.id, wanted)
    [command] = worker.commands
    assert command.WhichOneof("message") == wanted
    assert not other.commands
    tasks = [claimed(), claimed()]
    assert recorded.dispatcher.offer(tasks) == tasks[1:]
    assert [offer.task_id for offer in sent(other)] == [tasks[0].task_id]


def test_an_undrained_worker_gets_offers_again_and_unknown_workers_are_ignored(
    recorded: RecordedDispatcher,
) -> None:
    worker = connected(recorded.dispatcher)
    recorded.dispatcher.send_command(worker.id, "drain")
    recorded.dispatcher.send_command(worker.id, "undrain")
    assert recorded.dispatcher.offer([claimed()]) == []
    recorded.dispatcher.send_command(uuid4(), "kill")
    assert [each.WhichOneof("message") for each in worker.commands] == ["drain", "undrain"]


def test_a_cancellation_is_sent_only_to_the_worker_that_has_the_lease(
    recorded: RecordedDispatcher,
) -> None:
    workers = [connected(recorded.dispatcher, slots=1) for _ in range(2)]
    recorded.dispatcher.offer([claimed(), claimed(lease=2)])
    [doomed] = workers[1].outbox
    recorded.dispatcher.cancel(Lease(doomed.task_id, doomed.lease + 1))
    assert not workers[1].commands
    recorded.dispatcher.cancel(lease(doomed))
    [command] = workers[1].commands
    assert [(x.task_id, x.lease) for x in command.cancel.executions] == [lease(doomed)]
    assert not workers[1].outbox
    assert not workers[0].commands
    assert (workers[0].capacity(0), workers[1].capacity(0)) == (0, 1)


# ---- random sequences ---------------------------------------------------------------------------


@given(
    slots=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    steps=st.lists(
        st.tuples(st.sampled_from(["offer", "end", "accept", "wait"]), st.integers(0, 7))
    ),
)
def test_capacities_are_never_exceeded_and_no_task_is_at_two_workers(
    slots: list[int], steps: list[tuple[str, int]]
) -> None:
    recorded = RecordedDispatcher(CONF)
    workers = [connected(recorded.dispatcher, slots=count) for count in slots]
    offered: Counter[Lease] = Counter()
    for step, number in steps:
        worker = workers[number % len(workers)]
        leases = [Lease(task_id, task.lease) for task_id, task in worker.in_flight.items()]
        if step == "offer":
            tasks = [claimed() for _ in range(number)]
            left = recorded.dispatcher.offer(tasks)
            offered.update(lease(task) for task in tasks if task not in left)
        elif step == "end":
            recorded.dispatcher.record_ended(worker, leases[:number], mean_run_s=0.001)
            for each in leases[:number]:
                del offered[each]
        elif step == "accept":
            recorded.dispatcher.record_accepted(worker, leases[:number])
        else:
            recorded.clock.now += number / 2
            recorded.offer_expiry.withdraw_expired()
            for each in recorded.released:
                del offered[each]
            recorded.released.clear()
        in_flight = Counter(
            Lease(task_id, task.lease) for x in workers for task_id, task in x.in_flight.items()
        )
        assert in_flight == offered
        for each in workers:
            assert len(each.in_flight) <= each.slots + CONF.prefetch_max
