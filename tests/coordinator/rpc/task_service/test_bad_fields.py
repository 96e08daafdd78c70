"""Test that an invalid field is named with its rule, and that nothing is stored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.models import Task
from tests.coordinator.rpc.task_service.client import ADD, Client, Code, at, refused, sums
from tests.system.fleet import acount

pytestmark = pytest.mark.django_db(transaction=True)


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "name: is required"),
    ({"name": "examples.tasks.ad"}, "examples.tasks.add"),
    ({"name": "x" * 201}, "name: has 201 characters; the limit is 200."),
    ({"queue": "q" * 65}, "queue: has 65 characters; the limit is 64."),
    (
        {"queue": "no spaces"},
        "queue: is 'no spaces'; it may contain only letters, digits and . _ : -.",
    ),
    ({"priority": 101}, "priority: is 101; it must be from -100 to 100."),
    ({"priority": -101}, "priority: is -101; it must be from -100 to 100."),
    ({"max_attempts": 101}, "max_attempts: is 101; it must be from 1 to 100."),
    ({"timeout_s": -1.0}, "timeout_s: is -1.0; it must be from 0 (none)"),
    ({"timeout_s": float("nan")}, "timeout_s: is nan; it must be"),
    ({"timeout_s": float("inf")}, "timeout_s: is inf; it must be"),
    ({"scheduled_at": at(101 * 366 * 86_400.0)}, "is more than 100 years in the future."),
    ({"scheduled_at": Timestamp(seconds=2**60)}, "scheduled_at: is out of range."),
    ({"tags": ["t"] * 21}, "tags: has 21 tags; the limit is 20."),
    ({"tags": ["fine", ""]}, "tags[1]: must not be empty."),
    ({"args_json": "[1,"}, "args_json: is not valid JSON"),
    ({"args_json": "{}"}, "args_json: must be a list, not an object."),
    ({"kwargs_json": "[]"}, "kwargs_json: must be an object, not a list."),
    ({"args_json": "[NaN]"}, "args_json: is not valid JSON"),
    ({"args_json": '["\\u0000"]'}, "args_json: contains U+0000"),
    ({"args_json": "[" * 100_000}, "args_json: is not valid JSON"),
    ({"args_json": "[1e999]"}, "args_json: is not valid JSON"),
    (
        {"args_json": f'["{"x" * 1_048_577}"]'},
        "args_json: args and kwargs have 1,048,583 bytes of JSON; the limit is 1,048,576.",
    ),
    ({"args_json": f'["{"ü" * 600_000}"]'}, "the limit is 1,048,576."),
    ({"args_json": "[1]"}, "args_json: missing argument 'b'; the signature is add(a, b)."),
    ({"name": "shell"}, "kwargs.command: must be a script (a non-empty string)"),
    ({"name": "shell", "kwargs_json": '{"command": ""}'}, "kwargs_json.command: must be a script"),
    ({"name": "shell", "kwargs_json": '{"command": "a", "x": 1}'}, "kwargs_json.x: unknown"),
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
    details = await refused(
        client.submit(name=ADD, args_json=f'["{"x" * 10_000_000}"]'), Code.INVALID_ARGUMENT
    )
    assert details == (
        "args_json: args and kwargs have 10,000,006 bytes of JSON; the limit is 1,048,576."
    )
    assert await acount() == 0


async def test_a_task_of_the_largest_size_in_any_alphabet_can_be_shown(client: Client) -> None:
    task_id = await client.submit(name=ADD, args_json=json.dumps(["漢" * 340_000, 1]))
    await Task.objects.filter(pk=task_id).aupdate(
        status="complete", result="漢" * 340_000, errors=[{"traceback": "x" * 16_000}] * 100
    )
    shown = await client.get(task_id)
    assert json.loads(shown.result_json) == "漢" * 340_000
    assert 50 < len(json.loads(shown.errors_json)) < 100
