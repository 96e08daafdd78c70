"""Test that every interface refuses shell tasks while the setting `shell_tasks` is off."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

import grpc
import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.test import Client as Browser
from django.urls import reverse

from taskmaster.tasks import conf, registry
from taskmaster.tasks.bulk.runner import run_chunk
from taskmaster.tasks.errors import ConfigurationError
from taskmaster.tasks.forms import creatable_tasks
from taskmaster.tasks.models import Task
from tests.coordinator.rpc.task_service.client import EVERYTHING, Client, Code, refused, token_of
from tests.factories import stored, user_with
from tests.system.fleet import coordinator
from tests.system.workers import worker
from tests.tasks.api.people import ALL, assert_problem, client_with
from tests.tasks.bulk.sample import an_operation
from tests.waiting import until_counted, until_finished

RULE = "shell tasks are switched off. To switch them on, set TASKMASTER_SHELL_TASKS=on"
SHELL = {"command": "true"}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _switched_off(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TASKMASTER_SHELL_TASKS", "off")
    conf.settings.cache_clear()
    yield
    monkeypatch.undo()
    conf.settings.cache_clear()


def failed() -> list[int]:
    """Store a failed shell task."""
    ids = stored()
    Task.objects.filter(pk__in=ids).update(status="failed")
    return ids


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/tasks/", SHELL, "name"),
        ("/api/tasks/", {"name": "shell", "kwargs": SHELL}, "name"),
        ("/api/tasks/bulk/", {"tasks": [SHELL]}, "tasks[0].name"),
    ],
)
def test_rest_refuses_a_submission(path: str, body: object, field: str) -> None:
    response = client_with(*ALL).post(path, body, format="json")
    assert_problem(response, HTTPStatus.BAD_REQUEST, RULE, field=field)
    assert not Task.objects.exists()


def test_rest_refuses_a_retry() -> None:
    [task_id] = failed()
    response = client_with(*ALL).post(f"/api/tasks/{task_id}/retry/")
    assert_problem(response, HTTPStatus.FORBIDDEN, RULE)
    assert Task.objects.get(pk=task_id).status == "failed"


def test_a_bulk_operation_refuses_the_retry_of_anyone() -> None:
    ids = failed()
    for user in (user_with(*ALL), None):
        operation = an_operation("retry", user, filter={})
        while run_chunk() is not None:
            pass
        operation.refresh_from_db()
        [reason] = operation.refused
        assert RULE in reason
    assert Task.objects.get(pk=ids[0]).status == "failed"


async def test_grpc_refuses_a_submission() -> None:
    async with (
        coordinator(TASKMASTER_SHELL_TASKS="off") as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        client = Client(channel, await token_of(*EVERYTHING))
        shell = client.submit(name="shell", kwargs_json='{"command":"true"}')
        assert RULE in await refused(shell, Code.INVALID_ARGUMENT)
    assert not await sync_to_async(Task.objects.exists)()


async def test_a_stored_shell_task_waits_for_a_worker_that_runs_commands() -> None:
    [task_id] = await sync_to_async(stored)(max_attempts=3)
    async with coordinator() as address, worker(address, TASKMASTER_SHELL_TASKS="off"):
        await until_counted(1, pk=task_id, status="waiting", waiting_for="shell")
        async with worker(address, name="commands", TASKMASTER_SHELL_TASKS="on"):
            task = await until_finished(task_id)
    assert (task.status, task.attempt, task.worker) == ("complete", 1, "commands")


def test_the_command_line_refuses_a_submission() -> None:
    with pytest.raises(CommandError, match=f"--shell: {RULE}"):
        call_command("taskmaster", "submit", "--shell", "true")


def test_the_forms_do_not_offer_shell_tasks() -> None:
    user = user_with(*ALL)
    assert "shell" not in creatable_tasks(user)
    assert "shell" not in registry.names()
    user.is_staff = True
    user.save()
    browser = Browser()
    browser.force_login(user)
    page = browser.get(reverse("admin:taskmaster_tasks_task_add")).content.decode()
    assert "examples.tasks.add" in page
    assert 'value="shell"' not in page


@pytest.mark.parametrize(
    ("raw", "found"), [("on", True), ("1", True), (True, True), ("OFF", False), ("", False)]
)
def test_the_setting_is_on_or_off(raw: object, found: bool) -> None:
    assert conf.read({"shell_tasks": raw}, {}).shell_tasks is found
    assert conf.read({}, {}).shell_tasks is False
    with pytest.raises(ConfigurationError, match="SHELL_TASKS is 'maybe'; it must be on or off"):
        conf.read({}, {"TASKMASTER_SHELL_TASKS": "maybe"})
