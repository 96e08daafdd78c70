"""Cancel or retry a task from its console."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token

from taskmaster.taskmaster_site.console import actions
from taskmaster.tasks.events.channels import Credential
from taskmaster.tasks.models import Task
from tests.factories import stored
from tests.tasks.api.people import user_with

pytestmark = pytest.mark.django_db(transaction=True)

CHANGE, VIEW = "taskmaster_tasks.change_task", "taskmaster_tasks.view_task"
SUBMIT_SHELL = "taskmaster_tasks.submit_shell"


def credential(*permissions: str) -> tuple[User, Credential]:
    user = user_with(*permissions)
    return user, ("token", Token.objects.create(user=user).key)


def status_of(task_id: int) -> str:
    return Task.objects.get(pk=task_id).status


def test_a_task_is_cancelled_and_retried() -> None:
    [task_id] = stored()
    _, key = credential(VIEW, CHANGE, SUBMIT_SHELL)
    assert actions.apply("cancel", task_id, key) == (True, f"Task {task_id} was cancelled.")
    assert status_of(task_id) == "cancelled"
    assert actions.apply("retry", task_id, key) == (True, f"Task {task_id} is pending again.")
    assert status_of(task_id) == "pending"


@pytest.mark.parametrize("action", actions.ACTIONS)
def test_an_action_needs_the_permission(action: str) -> None:
    [task_id] = stored()
    _, key = credential("taskmaster_tasks.view_task")
    assert actions.apply(action, task_id, key) == (False, f"This needs the permission {CHANGE}.")
    assert status_of(task_id) == "pending"


def test_a_retry_of_a_shell_command_needs_its_permission() -> None:
    [task_id] = stored()
    Task.objects.filter(pk=task_id).update(status="failed")
    ok, text = actions.apply("retry", task_id, credential(VIEW, CHANGE)[1])
    assert not ok
    assert SUBMIT_SHELL in text
    assert status_of(task_id) == "failed"


def test_a_user_who_was_deactivated_can_do_nothing() -> None:
    [task_id] = stored()
    user, key = credential(VIEW, CHANGE)
    user.is_active = False
    user.save()
    for invalid in (key, ("token", "unknown")):
        assert actions.apply("cancel", task_id, invalid) == (False, "You are no longer logged in.")  # type: ignore[arg-type]
    assert status_of(task_id) == "pending"


def test_an_action_that_the_status_does_not_allow_is_refused() -> None:
    [task_id] = stored()
    ok, text = actions.apply("retry", task_id, credential(VIEW, CHANGE, SUBMIT_SHELL)[1])
    assert not ok
    assert text.startswith(f"Task {task_id} is pending: ")
