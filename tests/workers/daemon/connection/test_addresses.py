"""Test which coordinator a worker connects to next."""

from __future__ import annotations

import pytest

from taskmaster.workers.daemon.connection.addresses import CoordinatorAddresses


def addresses(*configured: str, now: list[float] | None = None) -> CoordinatorAddresses:
    times = now or [0.0]
    return CoordinatorAddresses(configured, tls=False, clock=lambda: times[0])


def test_coordinators_are_tried_in_order_and_failed_rounds_are_counted() -> None:
    known = addresses("localhost:1", "localhost:2")
    tried = []
    for _ in range(5):
        tried.append(known.current)
        known.rotate(failed=True)
    assert tried == ["localhost:1", "localhost:2", "localhost:1", "localhost:2", "localhost:1"]
    assert known.failed_rounds == 2
    known.rotate(failed=False)
    assert known.failed_rounds == 0


def test_received_coordinators_are_added_and_forgotten_but_configured_ones_stay() -> None:
    known = addresses("localhost:1")
    known.update(["localhost:1", "localhost:2", "10.0.0.7:3"])
    known.rotate(failed=True)
    assert known.current == "localhost:2"
    known.update([])
    assert known.current == "localhost:1"
    known.rotate(failed=True)
    assert known.current == "localhost:1"


def test_a_warning_names_the_last_error_and_is_repeated_after_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    known = addresses("localhost:1", now=now)
    known.record_error("localhost:1", "no TLS")
    for seconds in (0.0, 59.0, 60.0):
        now[0] = seconds
        known.rotate(failed=True)
    assert [record.__dict__["refused_by"] for record in caplog.records] == [
        "localhost:1: no TLS"
    ] * 2
    known.connected()
    known.rotate(failed=True)
    assert "refused_by" not in caplog.records[-1].__dict__
    assert len(caplog.records) == 3
