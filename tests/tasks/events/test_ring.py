"""What the ring knows, and what it admits not to know."""

from __future__ import annotations

import dataclasses
import json

import pytest
from django_eventstream.storage import EventDoesNotExist

from tasks import conf
from tasks.events import ring as module
from tasks.events.ring import Ring, RingStorage, messages
from tests.tasks.events.sample import kept


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    short = dataclasses.replace(conf.settings(), events_kept=100)
    monkeypatch.setattr(module, "settings", lambda: short)


def ids(ring: Ring, last_id: int, channel: str = "all") -> list[int] | None:
    events = ring.since(last_id, channel)
    return None if events is None else [event.pk for event in events]


def test_everything_after_an_id_comes_once_and_in_order() -> None:
    ring = Ring()
    ring.refill(kept(1, 30))
    ring.append(kept(31, 40))
    assert ids(ring, 25) == list(range(26, 41))
    assert ids(ring, 40) == []


def test_what_may_be_gone_is_not_passed_over_in_silence() -> None:
    ring = Ring()
    ring.refill(kept(1, 100))
    ring.append(kept(101, 150))
    assert ids(ring, 49) is None
    assert ids(ring, 50) == list(range(51, 151))


def test_an_id_from_the_future_is_unknown() -> None:
    ring = Ring()
    ring.refill(kept(1, 10))
    assert ids(ring, 11) is None
    assert ids(ring, 2**63 - 1) is None


def test_a_young_ring_knows_that_nothing_came_before() -> None:
    ring = Ring()
    ring.refill(kept(8, 10))
    assert ids(ring, 0) == [8, 9, 10]
    ring.refill([])
    assert ids(ring, 0) == []


def test_what_was_forgotten_while_nobody_listened_is_not_passed_over_in_silence() -> None:
    ring = Ring()
    ring.refill(kept(1, 30))
    # Some numbers are never given, so these are fewer than are kept, and yet some were forgotten.
    ring.append(kept(951, 1_040))
    assert ids(ring, 30) is None
    assert ids(ring, 949) is None
    assert ids(ring, 950) == list(range(951, 1_041))


def test_as_many_at_once_as_are_kept_do_not_pretend_to_be_all() -> None:
    ring = Ring()
    ring.refill([])
    ring.append(kept(501, 600))
    assert ids(ring, 5) is None
    assert ids(ring, 500) == list(range(501, 601))


def test_a_full_table_with_missing_numbers_does_not_pretend_to_be_all() -> None:
    ring = Ring()
    ring.refill(kept(910, 1_000))
    assert ids(ring, 5) is None


def test_a_new_client_begins_with_the_newest_of_its_channel() -> None:
    ring = Ring()
    ring.refill([*kept(1, 20, task_id=5), *kept(21, 60, task_id=6)])
    assert ids(ring, ring.start("task-5", 4), "task-5") == [17, 18, 19, 20]
    assert ids(ring, ring.start("all", 7)) == list(range(54, 61))
    assert ids(ring, ring.start("task-7", 7), "task-7") == []


def test_the_storage_says_which_id_it_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Ring()
    ring.refill(kept(1, 100))
    ring.append(kept(101, 120))
    monkeypatch.setattr(module, "ring", ring)
    with pytest.raises(EventDoesNotExist) as refusal:
        RingStorage().get_events("all", 3)
    assert refusal.value.current_id == 120
    assert RingStorage().get_current_id("all") == 120


def test_messages_carry_every_event_and_the_id_of_their_last() -> None:
    sent = list(messages("all", kept(1, 120)))
    assert [message.id for message in sent] == [50, 100, 120]
    told = [each["id"] for message in sent for each in json.loads(message.data)["events"]]
    assert told == list(range(1, 121))


def test_html_in_a_name_stays_text_within_json() -> None:
    event = kept(1, 1)[0]
    event.task, event.text = "<script>alert(1)</script>", 'a "quote"\nand a line {{ 7 }}'
    [message] = messages("all", [event])
    assert "\n" not in message.data
    assert json.loads(message.data)["events"][0]["task"] == "<script>alert(1)</script>"
