"""What breaks a rule is named with it, and stores nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from proto import taskmaster_pb2 as pb
from tasks.models import Task
from tests.coordinator.service.clients.client import ADD, Client, Code, at, listed, refused, sums
from tests.system.fleet import acount

pytestmark = pytest.mark.django_db(transaction=True)


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "name: is required"),
    ({"name": "examples.tasks.ad"}, "examples.tasks.add"),
    ({"name": "x" * 201}, "name: has 201 characters; at most 200 are allowed."),
    ({"queue": "q" * 65}, "queue: has 65 characters; at most 64 are allowed."),
    ({"queue": "no spaces"}, "queue: may hold letters, digits and . _ : - only."),
    ({"priority": 101}, "priority: is 101; it must be from -100 to 100."),
    ({"priority": -101}, "priority: is -101; it must be from -100 to 100."),
    ({"max_attempts": 101}, "max_attempts: is 101; it must be from 1 to 100."),
    ({"timeout_s": -1.0}, "timeout_s: is -1.0; it must be from 0 (none)"),
    ({"timeout_s": float("nan")}, "timeout_s: is nan; it must be"),
    ({"timeout_s": float("inf")}, "timeout_s: is inf; it must be"),
    ({"scheduled_at": Timestamp(seconds=1)}, "lies in the past; leave it out to start now."),
    ({"scheduled_at": at(101 * 366 * 86_400.0)}, "is more than 100 years away."),
    ({"scheduled_at": Timestamp(seconds=2**60)}, "scheduled_at: is out of range."),
    ({"tags": ["t"] * 21}, "tags: holds 21 tags; at most 20 are allowed."),
    ({"tags": ["fine", ""]}, "tags[1]: must not be empty."),
    ({"args_json": "[1,"}, "args_json: is no JSON"),
    ({"args_json": "{}"}, "args: must be a list, not an object."),
    ({"kwargs_json": "[]"}, "kwargs: must be an object, not a list."),
    ({"args_json": "[NaN]"}, "args: is no JSON"),
    ({"args_json": '["\\u0000"]'}, "args: holds U+0000"),
    ({"args_json": "[" * 100_000}, "args_json: is no JSON"),
    ({"args": listed(float("inf"))}, "args: is no JSON"),
    (
        {"args_json": f'["{"x" * 1_048_577}"]'},
        "args: args and kwargs take 1,048,583 bytes of JSON; at most 1,048,576 are allowed.",
    ),
    ({"args_json": f'["{"ü" * 600_000}"]'}, "at most 1,048,576 are allowed."),
    ({"name": "shell"}, "kwargs.command: must be a script (text) or a list"),
    ({"name": "shell", "kwargs_json": '{"command": ""}'}, "kwargs.command: must be a script"),
    ({"name": "shell", "kwargs_json": '{"command": "a", "x": 1}'}, "kwargs.x: unknown"),
]


async def test_bad_fields_are_named_with_their_rule_and_nothing_is_stored(client: Client) -> None:
    for fields, rule in BAD:
        given = {} if not fields else {"name": ADD, **fields}
        assert rule in await refused(client.submit(**given), Code.INVALID_ARGUMENT), fields
        # The same in a bulk, where good ones stand before and after.
        bad = pb.SubmitTaskRequest(**given)
        call = client.submit_many(sums(1), [*sums(2), bad, *sums(3)])
        details = await refused(call, Code.INVALID_ARGUMENT)
        assert rule in details.replace("tasks[2].", ""), fields
        assert details.startswith("tasks[2]."), details
    assert await acount() == 0


async def test_ten_megabytes_of_arguments_are_refused(client: Client) -> None:
    said = await refused(
        client.submit(name=ADD, args_json=f'["{"x" * 10_000_000}"]'), Code.INVALID_ARGUMENT
    )
    assert said == (
        "args: args and kwargs take 10,000,006 bytes of JSON; at most 1,048,576 are allowed."
    )
    assert await acount() == 0


async def test_a_task_of_the_largest_size_in_any_alphabet_can_be_shown(client: Client) -> None:
    task_id = await client.submit(name=ADD, args_json=json.dumps(["漢" * 340_000]))
    await Task.objects.filter(pk=task_id).aupdate(
        status="complete", result="漢" * 340_000, errors=[{"traceback": "x" * 16_000}] * 100
    )
    shown = await client.get(task_id)
    assert json.loads(shown.result_json) == "漢" * 340_000
    assert 50 < len(json.loads(shown.errors_json)) < 100


async def test_two_ways_to_give_arguments_are_one_too_many(client: Client) -> None:
    both = {"args_json": "[1, 2]", "args": listed(3, 4)}
    said = await refused(client.submit(name=ADD, **both), Code.INVALID_ARGUMENT)
    assert said == "args_json: stands in for args; give one of the two."
    assert await acount() == 0
