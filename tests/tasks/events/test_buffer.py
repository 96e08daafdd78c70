"""Buffer the newest events, and report a reset if events may be lost."""

from __future__ import annotations

import dataclasses
import json

import pytest
from django_eventstream.views import Listener

from taskmaster.tasks import conf
from taskmaster.tasks.events import buffer as module
from taskmaster.tasks.events.buffer import (
    EventBuffer,
    deliver,
    event_buffer,
    listeners,
    messages,
)
from tests.tasks.events.sample import kept


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    short = dataclasses.replace(conf.settings(), events_kept=100)
    monkeypatch.setattr(module, "settings", lambda: short)


def ids(buffer: EventBuffer, last_id: int, channel: str = "all") -> list[int] | None:
    events = buffer.since(last_id, channel)
    return None if events is None else [event.pk for event in events]


def test_events_after_an_id_are_returned_once_and_in_order() -> None:
    buffer = EventBuffer()
    buffer.refill(kept(1, 30))
    buffer.append(kept(31, 40))
    assert ids(buffer, 25) == list(range(26, 41))
    assert ids(buffer, 40) == []


def test_dropped_events_are_reported_as_lost() -> None:
    buffer = EventBuffer()
    buffer.refill(kept(1, 100))
    buffer.append(kept(101, 150))
    assert ids(buffer, 49) is None
    assert ids(buffer, 50) == list(range(51, 151))


def test_an_id_above_the_newest_is_unknown() -> None:
    buffer = EventBuffer()
    buffer.refill(kept(1, 10))
    assert ids(buffer, 11) is None
    assert ids(buffer, 2**63 - 1) is None


def test_a_buffer_with_all_events_of_the_table_has_lost_none() -> None:
    buffer = EventBuffer()
    buffer.refill(kept(8, 10))
    assert ids(buffer, 0) == [8, 9, 10]
    buffer.refill([])
    assert ids(buffer, 0) == []


def test_events_that_were_pruned_before_they_were_read_are_reported_as_lost() -> None:
    buffer = EventBuffer()
    buffer.refill(kept(1, 30))
    # Ids have gaps. These are fewer events than are kept, but others were pruned before them.
    buffer.append(kept(951, 1_040))
    assert ids(buffer, 30) is None
    assert ids(buffer, 949) is None
    assert ids(buffer, 950) == list(range(951, 1_041))


def test_a_full_batch_after_an_empty_table_may_have_lost_events() -> None:
    buffer = EventBuffer()
    buffer.refill([])
    buffer.append(kept(501, 600))
    assert ids(buffer, 5) is None
    assert ids(buffer, 500) == list(range(501, 601))


def test_a_full_table_with_gaps_in_its_ids_may_have_lost_events() -> None:
    buffer = EventBuffer()
    buffer.refill(kept(910, 1_000))
    assert ids(buffer, 5) is None


def test_a_new_client_starts_with_the_newest_events_of_its_channel() -> None:
    buffer = EventBuffer()
    buffer.refill([*kept(1, 20, task_id=5), *kept(21, 60, task_id=6)])
    assert ids(buffer, buffer.position("task-5", 4), "task-5") == [17, 18, 19, 20]
    assert ids(buffer, buffer.position("all", 7)) == list(range(54, 61))
    assert ids(buffer, buffer.position("task-7", 7), "task-7") == []


def test_a_reader_whose_events_were_dropped_gets_no_messages() -> None:
    buffer = EventBuffer()
    buffer.refill(kept(1, 100))
    buffer.append(kept(101, 120))
    assert buffer.messages("all", 3) is None
    assert [message.id for message in buffer.messages("all", 70) or []] == [120]


def test_messages_contain_every_event_and_have_the_id_of_their_last() -> None:
    sent = list(messages("all", kept(1, 120)))
    assert [message.id for message in sent] == [50, 100, 120]
    ids_sent = [each["id"] for message in sent for each in json.loads(message.data)["events"]]
    assert ids_sent == list(range(1, 121))


def test_markup_in_a_name_is_encoded_as_json_text() -> None:
    event = kept(1, 1)[0]
    event.task, event.text = "<script>alert(1)</script>", 'a "quote"\nand a line {{ 7 }}'
    [message] = messages("all", [event])
    assert "\n" not in message.data
    assert json.loads(message.data)["events"][0]["task"] == "<script>alert(1)</script>"


async def test_new_events_are_queued_for_the_readers_of_their_channels_only() -> None:
    listener = Listener()
    listener.channels = {"task-5", "queue-mail"}
    listener.user_id = 1
    listener.assign_loop()
    listeners.add_listener(listener)
    try:
        event_buffer.refill([])
        deliver(kept(1, 2, task_id=5))
        deliver(kept(3, 3, task_id=6))
    finally:
        listeners.remove_listener(listener)
    assert [message.id for message in listener.channel_items["task-5"]] == [2]
    assert set(listener.channel_items) == {"task-5"}
    assert event_buffer.newest == 3
