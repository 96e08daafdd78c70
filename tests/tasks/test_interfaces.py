"""Test that all interfaces store the same row: declared options, and explicit ones above them."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from google.protobuf.timestamp_pb2 import Timestamp

from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc
from taskmaster.tasks import registry
from taskmaster.tasks.compat import InvalidTask
from taskmaster.tasks.enqueue import bulk, new
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.models import Task
from tests.factories import user_with
from tests.system.fleet import coordinator
from tests.tasks.api.people import ALL, client_with
from tests.tasks.sample_tasks import careful

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "tests.tasks.sample_tasks.careful"
MODULES = "TASKMASTER_TASK_MODULES", "examples.tasks,tests.tasks.sample_tasks"
DEADLINE_S = 20

#: What the declaration of `careful` stores.
DECLARED: dict[str, Any] = {
    "queue": "mail",
    "priority": 7,
    "max_attempts": 1,
    "timeout_s": 5.0,
    "retry_base_s": 2.0,
    "retry_cap_s": 8.0,
    "on_lost_contact": "stop",
    "tags": ["once"],
}
#: Another value for each option. Some equal the defaults, and zero values are values.
EXPLICIT: dict[str, Any] = {
    "queue": "default",
    "priority": 0,
    "max_attempts": 3,
    "timeout_s": 0.0,
    "retry_base_s": 0.0,
    "retry_cap_s": 600.0,
    "on_lost_contact": "continue",
    "tags": ["x", "y"],
}
_PYTHON = {
    "queue": "queue_name",
    "scheduled_at": "run_after",
    "timeout_s": "timeout",
    "retry_base_s": "retry_base",
    "retry_cap_s": "retry_cap",
}

Submit = Callable[[str, dict[str, Any], dict[str, Any]], str]


@pytest.fixture(scope="module", autouse=True)
def _modules() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(*MODULES)
        registry.load.cache_clear()
        yield
    registry.load.cache_clear()


@pytest.fixture(scope="module")
def address(django_db_setup: None) -> Iterator[str]:
    """Run a coordinator. Yield its address."""
    with asyncio.Runner() as runner:
        process = coordinator(**dict([MODULES]))
        yield runner.run(process.__aenter__())
        runner.run(process.__aexit__(None, None, None))


# Each function submits a call with options, and returns the error, or an empty text.


def by_enqueue(_: str, kwargs: dict[str, Any], options: dict[str, Any]) -> str:
    given = {_PYTHON.get(name, name): value for name, value in options.items()}
    try:
        careful.options(**given).enqueue(**kwargs)
    except (InvalidTask, InvalidField) as error:
        return str(error)
    return ""


def by_bulk(_: str, kwargs: dict[str, Any], options: dict[str, Any]) -> str:
    try:
        bulk([new(NAME, task_kwargs=kwargs, **options)])
    except InvalidField as error:
        return str(error)
    return ""


def by_rest(_: str, kwargs: dict[str, Any], options: dict[str, Any]) -> str:
    if when := options.get("scheduled_at"):
        options = {**options, "scheduled_at": when.isoformat()}
    body = {"name": NAME, "kwargs": kwargs, **options}
    answer = client_with(*ALL).post("/api/tasks/", body, format="json")
    return "" if answer.status_code == 201 else str(answer.json()["detail"])


def by_grpc(address: str, kwargs: dict[str, Any], options: dict[str, Any]) -> str:
    if when := options.get("scheduled_at"):
        options = {**options, "scheduled_at": Timestamp(seconds=int(when.timestamp()))}
    request = pb.SubmitTaskRequest(name=NAME, kwargs_json=json.dumps(kwargs), **options)
    header = client_with(*ALL)._credentials["HTTP_AUTHORIZATION"]

    async def submit() -> str:
        async with grpc.aio.insecure_channel(address) as channel:
            stub: Any = rpc.TaskServiceStub(channel)
            try:
                metadata = (("authorization", header),)
                await stub.SubmitTask(request, metadata=metadata, timeout=DEADLINE_S)
            except grpc.aio.AioRpcError as error:
                return str(error.details())
            return ""

    return asyncio.run(submit())


def by_command(_: str, kwargs: dict[str, Any], options: dict[str, Any]) -> str:
    names = {"scheduled_at": "--at", "timeout_s": "--timeout", "tags": "--tag"}
    names |= {"retry_base_s": "--retry-base", "retry_cap_s": "--retry-cap"}
    arguments = ["submit", NAME, "--kwargs", json.dumps(kwargs)]
    for name, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            arguments += [names.get(name, f"--{name.replace('_', '-')}"), str(each)]
    try:
        call_command("taskmaster", *arguments, stdout=io.StringIO())
    except CommandError as error:
        return str(error)
    return ""


def _browser() -> Client:
    user = user_with(*ALL)
    user.is_staff = True
    user.save()
    browser = Client()
    browser.force_login(user)
    return browser


def _text(options: dict[str, Any]) -> dict[str, str]:
    return {
        name: ",".join(value) if isinstance(value, list) else str(value)
        for name, value in options.items()
    }


def by_admin(_: str, kwargs: dict[str, Any], options: dict[str, Any]) -> str:
    fields = {"name": NAME, "kwargs": json.dumps(kwargs), **_text(options)}
    if when := options.get("scheduled_at"):
        fields |= {"scheduled_at_0": f"{when:%Y-%m-%d}", "scheduled_at_1": f"{when:%H:%M:%S}"}
    answer = _browser().post("/admin/taskmaster_tasks/task/add/", fields)
    if answer.status_code == 302:
        return ""
    return " ".join(
        f"{name}: {error}"
        for name, errors in answer.context["adminform"].form.errors.items()
        for error in errors
    )


def by_dashboard(_: str, kwargs: dict[str, Any], options: dict[str, Any]) -> str:
    fields = {"name": NAME, "count": "1", "arguments": json.dumps(kwargs), **_text(options)}
    answer = _browser().post("/create/", fields)
    form = answer.context["form"]
    return " ".join(error for errors in form.errors.values() for error in errors)


INTERFACES = [by_enqueue, by_bulk, by_rest, by_grpc, by_command, by_admin, by_dashboard]
#: The form of the dashboard has no other option.
_OFFERED = {by_dashboard: {"queue"}}


def row() -> dict[str, Any]:
    """Return the options of the only task, and delete it."""
    stored = Task.objects.get()
    Task.objects.all().delete()
    assert (stored.name, stored.args, stored.kwargs) == (NAME, [], {"a": 1})
    assert abs(stored.scheduled_at - stored.created_at) < timedelta(seconds=5)
    return {name: getattr(stored, name) for name in DECLARED}


@pytest.mark.parametrize("submit", INTERFACES)
def test_declared_options_hold_and_explicit_ones_override_them(
    submit: Submit, address: str
) -> None:
    assert submit(address, {"a": 1}, {}) == ""
    assert row() == DECLARED
    options = {name: EXPLICIT[name] for name in _OFFERED.get(submit, set(EXPLICIT))}
    for name, value in options.items():
        assert submit(address, {"a": 1}, {name: value}) == ""
        assert row() == {**DECLARED, name: value}
    assert submit(address, {"a": 1}, options) == ""
    assert row() == {**DECLARED, **options}


@pytest.mark.parametrize("submit", [each for each in INTERFACES if each not in _OFFERED])
def test_a_declared_pause_fits_an_explicit_one(submit: Submit, address: str) -> None:
    assert submit(address, {"a": 1}, {"retry_cap_s": 0.5}) == ""
    assert row() == {**DECLARED, "retry_base_s": 0.5, "retry_cap_s": 0.5}


@pytest.mark.parametrize("submit", [each for each in INTERFACES if each not in _OFFERED])
def test_a_time_in_the_past_is_due_now(submit: Submit, address: str) -> None:
    assert submit(address, {"a": 1}, {"scheduled_at": datetime(2020, 1, 31, tzinfo=UTC)}) == ""
    row()


@pytest.mark.parametrize(
    ("submit", "call", "option"),
    [
        (by_enqueue, "kwargs: missing", "timeout: is -1"),
        (by_bulk, "task_kwargs: missing", "timeout_s: is -1"),
        (by_rest, "kwargs: missing", "timeout_s: is -1"),
        (by_grpc, "kwargs_json: missing", "timeout_s: is -1"),
        (by_command, "--kwargs: missing", "--timeout: is -1"),
        (by_admin, "kwargs: missing", "timeout_s: is -1"),
        (by_dashboard, "arguments: missing", None),
    ],
)
def test_an_error_names_the_field_of_the_caller_and_nothing_is_stored(
    submit: Submit, call: str, option: str | None, address: str
) -> None:
    error = submit(address, {"b": 1}, {})
    assert error.startswith(f"{call} argument 'a'; the signature is careful(a, b=…).")
    if option is not None:
        assert submit(address, {"a": 1}, {"timeout_s": -1.0}).startswith(option)
    assert Task.objects.count() == 0
