"""The log level and the filter of repeated lines."""

from __future__ import annotations

import logging

import pytest

from taskmaster.taskmaster_site.logs import OutageFilter, logging_settings
from taskmaster.tasks.errors import ConfigurationError


def test_the_level_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKMASTER_LOG_LEVEL", raising=False)
    assert logging_settings()["root"]["level"] == "INFO"
    monkeypatch.setenv("TASKMASTER_LOG_LEVEL", "debug")
    assert logging_settings()["root"]["level"] == "DEBUG"


def test_an_unknown_level_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKMASTER_LOG_LEVEL", "loud")
    with pytest.raises(ConfigurationError, match="TASKMASTER_LOG_LEVEL is 'LOUD'; it must be one"):
        logging_settings()


@pytest.mark.parametrize(("status", "written"), [(503, False), (500, True), (None, True)])
def test_responses_during_an_outage_are_not_logged(status: int | None, written: bool) -> None:
    record = logging.makeLogRecord({} if status is None else {"status_code": status})
    assert OutageFilter().filter(record) is written
