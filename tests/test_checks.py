"""Test the system checks in a project that includes TaskMaster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.core.checks import CheckMessage, run_checks
from django.core.checks.registry import registry as check_registry
from django.core.management import get_commands
from django.test import override_settings

from taskmaster.coordinator.management.commands.runcoordinator import Command
from taskmaster.tasks import checks, conf, registry


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Clear caches, because a process reads these values only once."""
    cached = (conf.settings, registry.load, get_commands)
    for each in cached:
        each.cache_clear()
    yield
    for each in cached:
        each.cache_clear()


def check_messages() -> list[CheckMessage]:
    return [each for each in run_checks() if (each.id or "").startswith("taskmaster.")]


def test_the_site_itself_has_no_messages() -> None:
    assert check_messages() == []


def test_a_coordinator_checks_its_settings_but_no_urls() -> None:
    tags = set(Command.requires_system_checks)
    ran = {each.__name__ for each in check_registry.get_checks() if tags & set(each.tags)}
    assert {"wrong_settings", "task_modules", "commands_belong_to_taskmaster"} <= ran
    assert ran.isdisjoint({"urls_can_be_reversed", "check_url_config"})


def test_a_command_of_another_app_with_precedence_is_named() -> None:
    apps = [app for app in settings.INSTALLED_APPS if app != "channels"]
    with override_settings(INSTALLED_APPS=["channels", *apps]):
        [warning] = check_messages()
    assert (warning.id, warning.msg) == (
        "taskmaster.W001",
        "`manage.py runworker` runs the command of channels, not TaskMaster's.",
    )
    assert warning.hint == "Put taskmaster.workers before channels in INSTALLED_APPS."


def test_an_app_that_is_not_installed_is_named() -> None:
    apps = [app for app in settings.INSTALLED_APPS if app != "taskmaster.coordinator"]
    with override_settings(INSTALLED_APPS=apps):
        assert [(each.id, each.msg) for each in check_messages()] == [
            ("taskmaster.E004", "taskmaster.coordinator is missing from INSTALLED_APPS.")
        ]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({}, "TASKS is not set, so enqueue() runs tasks immediately in the calling process."),
        (
            {"default": {"BACKEND": "django_tasks.backends.dummy.DummyBackend"}},
            "No alias of TASKS uses TaskMasterBackend, only django_tasks.backends.dummy.Dummy"
            "Backend.",
        ),
    ],
)
def test_tasks_of_another_backend_are_a_warning(tasks: dict[str, object], message: str) -> None:
    with override_settings(TASKS=tasks):
        [warning] = checks.tasks_have_a_backend()
    assert (warning.id, warning.msg) == ("taskmaster.W002", message)


def test_an_invalid_setting_is_an_error_without_a_traceback() -> None:
    with override_settings(TASKMASTER={"lookahed_s": 5}):
        [error] = check_messages()
    assert error.id == "taskmaster.E001"
    assert "unknown setting lookahed_s" in error.msg


def test_a_task_module_that_cannot_be_imported_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TASKMASTER_TASK_MODULES")
    with override_settings(TASKMASTER_TASK_MODULES=["no.such.module"]):
        [error] = check_messages()
    assert (error.id, error.msg.partition(" cannot")[0]) == (
        "taskmaster.E002",
        "TASKMASTER_TASK_MODULES: no.such.module",
    )


def test_another_database_than_postgresql_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.database_is_postgresql() == []
    monkeypatch.setattr(checks.connections["default"], "vendor", "sqlite")
    [error] = checks.database_is_postgresql()
    assert error.id == "taskmaster.E003"
    assert "The default database is sqlite" in error.msg


def test_urls_that_cannot_be_reversed_are_an_error() -> None:
    with override_settings(ROOT_URLCONF="tests.nested_urls"):
        [error] = check_messages()
    assert error.id == "taskmaster.E005"
