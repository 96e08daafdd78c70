"""Test which modules are loaded for their tasks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.test import override_settings

from taskmaster.tasks import registry
from taskmaster.tasks.errors import ConfigurationError, UnknownTaskName
from tests.tasks.sample_tasks import careful, hasty

SHIP = "tests.tasks.shop.tasks.ship"
SAMPLES = "tests.tasks.sample_tasks"


@pytest.fixture(autouse=True)
def _unloaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Load the modules again in each test, and afterwards."""
    monkeypatch.delenv("TASKMASTER_TASK_MODULES", raising=False)
    registry.load.cache_clear()
    yield
    registry.load.cache_clear()


def test_the_tasks_module_of_an_installed_app_is_loaded() -> None:
    assert SHIP not in registry.load()
    registry.load.cache_clear()
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "tests.tasks.shop"]):
        assert SHIP in registry.load()


def test_the_setting_adds_modules_and_the_environment_replaces_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with override_settings(TASKMASTER_TASK_MODULES=[SAMPLES]):
        assert any(name.startswith(SAMPLES) for name in registry.load())
        registry.load.cache_clear()
        monkeypatch.setenv("TASKMASTER_TASK_MODULES", "tests.tasks.shop.tasks, ")
        assert [name for name in registry.load() if not name.startswith("examples")] == [SHIP]


def test_a_variant_under_another_name_does_not_replace_the_declaration() -> None:
    with override_settings(TASKMASTER_TASK_MODULES=[SAMPLES]):
        assert hasty.module_path == careful.module_path
        assert registry.get(careful.module_path) is careful


def test_an_unknown_name_names_the_closest_ones_only_if_there_are_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UnknownTaskName, match="knows it; the closest names are shell"):
        registry.get("shel")
    monkeypatch.setattr(registry, "names", list)
    with pytest.raises(UnknownTaskName, match=r"no connected worker knows it\. Tasks are loaded"):
        registry.get("no.task")


def test_a_module_that_cannot_be_imported_is_named_with_its_source() -> None:
    broken = {"TASKMASTER_TASK_MODULES": ["no.such.module"]}
    with (
        override_settings(**broken),
        pytest.raises(
            ConfigurationError,
            match=r"^TASKMASTER_TASK_MODULES: no.such.module cannot be imported: ModuleNotFound",
        ),
    ):
        registry.load()


def test_an_app_whose_tasks_module_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_shop").mkdir()
    (tmp_path / "broken_shop" / "__init__.py").touch()
    (tmp_path / "broken_shop" / "tasks.py").write_text("import celery_of_another_project")
    monkeypatch.syspath_prepend(tmp_path)
    with (
        override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "broken_shop"]),
        pytest.raises(
            ConfigurationError, match=r"^INSTALLED_APPS: broken_shop: broken_shop.tasks cannot be"
        ),
    ):
        registry.load()
