"""Test that Django's pool follows the same settings as the coordinator's."""

from __future__ import annotations

import pytest

from taskmaster.coordinator.support.database import conninfo
from taskmaster.taskmaster_site.database import django_database
from taskmaster.tasks.errors import ConfigurationError


def test_the_pool_is_explicit_and_configurable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = django_database({})["OPTIONS"]["pool"]
    figures = {name: pool[name] for name in ("max_size", "max_idle", "timeout")}
    assert figures == {"max_size": 8, "max_idle": 30, "timeout": 2}
    # A restarted server is found soon: psycopg_pool's default retries for 5 minutes, with growing
    # delays.
    assert pool["reconnect_timeout"] <= 2
    monkeypatch.setenv("TASKMASTER_DB_POOL_MAX", "3")
    monkeypatch.setenv("TASKMASTER_DB_POOL_IDLE_S", "7.5")
    pool = django_database({"db_pool_wait_s": 1, "db_pool_idle_s": 60})["OPTIONS"]["pool"]
    assert (pool["max_size"], pool["max_idle"], pool["timeout"]) == (3, 7.5, 1)


@pytest.mark.parametrize("value", ["0", "soon", "-1"])
def test_an_invalid_setting_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("TASKMASTER_DB_POOL_WAIT_S", value)
    with pytest.raises(ConfigurationError, match=r"(?i)db_pool_wait_s"):
        django_database({})


def test_behind_a_pooler_no_session_state_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert django_database({})["OPTIONS"]["prepare_threshold"] == 5
    monkeypatch.setenv("TASKMASTER_DB_PREPARE", "off")
    database = django_database({})
    assert database["OPTIONS"]["prepare_threshold"] is None
    assert database["DISABLE_SERVER_SIDE_CURSORS"]


def test_connection_options_of_the_url_also_apply_to_the_coordinator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from django.db import connections

    declared = dict(connections["default"].settings_dict)
    declared["OPTIONS"] = {**declared["OPTIONS"], "sslmode": "require"}
    monkeypatch.setattr(connections["default"], "settings_dict", declared)
    assert "sslmode=require" in conninfo()
    assert "application_name=taskmaster-coordinator" in conninfo()
