"""Test that every interface accepts a name that only workers know, with a notice."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from taskmaster.tasks import fleet, submission
from taskmaster.tasks.enqueue import bulk, new
from taskmaster.tasks.errors import UnknownTaskName
from taskmaster.tasks.models import KnownNames, QueueState, Task
from tests.factories import user_with
from tests.tasks.api.people import ALL, client_with

pytestmark = pytest.mark.django_db

FRESH = "newcode.fresh"
NOTICE = (
    "Only workers know newcode.fresh, and this process does not: its arguments were not checked, "
    "and the options that it declares do not apply."
)
CALL = {"name": FRESH, "args": [1], "kwargs": {"anything": 2}}


@pytest.fixture(autouse=True)
def _workers() -> Iterator[None]:
    """Store a coordinator whose workers know the name."""
    coordinator = UUID(int=1)
    QueueState.objects.create(coordinator=coordinator, queue="", workers=1, slots=1, free=1)
    KnownNames.objects.create(coordinator=coordinator, names=["shell", FRESH])
    # These announce no names, so they prove of no name that it exists.
    KnownNames.objects.create(coordinator=coordinator, names=None)
    fleet.clear_cache()
    yield
    fleet.clear_cache()


def browser() -> Client:
    user = user_with(*ALL)
    user.is_staff = True
    user.save()
    client = Client()
    client.force_login(user)
    return client


def test_rest_accepts_the_name_with_a_notice() -> None:
    rest = client_with(*ALL)
    answer = rest.post("/api/tasks/", {**CALL, "priority": 3}, format="json")
    assert (answer.status_code, answer.json()["notice"]) == (201, NOTICE)
    task = Task.objects.get()
    assert (task.name, task.args, task.kwargs) == (FRESH, [1], {"anything": 2})
    # Nothing is declared here: the defaults hold, below what was given.
    assert (task.queue, task.priority, task.max_attempts) == ("default", 3, 3)
    assert "notice" not in rest.get(f"/api/tasks/{task.pk}/").json()
    known = {"name": "examples.tasks.add", "args": [1, 2]}
    assert "notice" not in rest.post("/api/tasks/", known, format="json").json()


def test_rest_names_each_name_of_a_bulk_once() -> None:
    known = {"name": "examples.tasks.add", "args": [1, 2]}
    rest = client_with(*ALL)
    answer = rest.post("/api/tasks/bulk/", {"tasks": [CALL, known, CALL]}, format="json").json()
    assert (len(answer["ids"]), answer["notices"]) == (3, [NOTICE])
    answer = rest.post("/api/tasks/bulk/", {"tasks": [known]}, format="json").json()
    assert answer.keys() == {"ids"}


def test_python_accepts_the_name() -> None:
    submissions = [new(FRESH, 1, task_kwargs={"anything": 2}), new("examples.tasks.add", 1, 2)]
    assert [each.notice for each in submissions] == [NOTICE, ""]
    assert len(bulk(submissions)) == 2


def test_the_command_line_prints_the_notice() -> None:
    out = io.StringIO()
    call_command("taskmaster", "submit", FRESH, "--args", "[1]", stdout=out)
    assert out.getvalue().splitlines()[1:] == [NOTICE]
    out = io.StringIO()
    call_command("taskmaster", "submit", FRESH, "--json", stdout=out)
    assert json.loads(out.getvalue())["notice"] == NOTICE


def test_the_command_line_prints_the_notice_before_and_after_a_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = ("taskmaster", "submit", FRESH, "--wait")
    out = io.StringIO()
    with pytest.raises(CommandError, match="is still pending"):
        call_command(*command, "--deadline", "0", stdout=out)
    assert out.getvalue() == f"{NOTICE}\n"

    # The task is complete after the first poll.
    monkeypatch.setattr(time, "sleep", lambda _seconds: Task.objects.update(status="complete"))
    out = io.StringIO()
    call_command(*command, "--json", stdout=out)
    printed = json.loads(out.getvalue())
    assert (printed["status"], printed["output"], printed["notice"]) == ("complete", [], NOTICE)


def test_the_admin_offers_the_name_and_shows_the_notice() -> None:
    admin = browser()
    assert f'value="{FRESH}"' in admin.get("/admin/taskmaster_tasks/task/add/").content.decode()
    fields = {"name": FRESH, "args": "[1]"}
    page = admin.post("/admin/taskmaster_tasks/task/add/", fields, follow=True).content.decode()
    assert NOTICE in page
    assert Task.objects.get().name == FRESH


def test_the_dashboard_offers_the_name_and_shows_the_notice() -> None:
    fields = {"name": FRESH, "count": "2", "arguments": "{}"}
    assert NOTICE in browser().post("/create/", fields).content.decode()
    assert Task.objects.filter(name=FRESH).count() == 2


def test_other_names_are_refused_with_the_rule_and_the_remedy() -> None:
    rule = (
        r"name: 'newcode\.fres' is not a registered task, and no connected worker knows it; .*"
        r"Tasks are loaded from the module tasks of each installed app and from TASKMASTER_TASK_"
    )
    with pytest.raises(UnknownTaskName, match=rule):
        submission.parse({"name": "newcode.fres"})


def test_a_dead_coordinator_proves_no_name() -> None:
    past = timezone.now() - timedelta(seconds=fleet.CAPACITY_AGE_MAX_S + 1)
    QueueState.objects.update(at=past)
    with pytest.raises(UnknownTaskName, match="no connected worker knows it"):
        submission.parse({"name": FRESH})


def test_a_bulk_of_one_name_reads_the_names_once(django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    with django_assert_num_queries(1):
        submission.parse_many([CALL] * 100)
