"""Test the verdict on hostile tasks with made-up rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chaos.hostile.load import WITNESSES, HostileSubmission
from chaos.hostile.verdict import HostileVerdict, judge_hostile
from chaos.records import TaskRow
from chaos.schedule import FaultKind
from tests.chaos.sample import fault

_AT = "1970-01-01T00:01:{:02}+00:00"


def verdict(
    state: dict[str, Any],
    *errors: dict[str, Any],
    status: str = "complete",
    hostile: str = "failed",
) -> HostileVerdict:
    """Judge a witness that found `state`, after one that found umask 18."""
    submissions = [
        HostileSubmission("r", "thread", WITNESSES[0], is_reference=True),
        HostileSubmission("h", "thread", "crash", acknowledged=True),
        HostileSubmission("w", "thread", WITNESSES[0], acknowledged=True),
    ]
    rows = [
        TaskRow(1, "r", WITNESSES[0], "complete", 1, 1, json.dumps({"umask": 18}), []),
        TaskRow(2, "h", "crash", hostile, 1, 1, None, []),
        TaskRow(3, "w", WITNESSES[0], status, 1, 1, json.dumps(state), list(errors)),
    ]
    faults = [fault(FaultKind.RESTART_POSTGRES, "postgres", 60, 70)]
    return judge_hostile({each.key: each for each in submissions}, rows, faults)


def test_a_witness_that_finds_the_same_state_is_counted_and_not_reported() -> None:
    found = verdict({"umask": 18})
    assert (found.run, found.later) == ({"thread": 1}, 1)
    assert (found.not_run, found.affected) == ([], [])


def test_a_changed_state_is_reported_with_both_values() -> None:
    [damage] = verdict({"umask": 511}).affected
    assert damage.what.endswith("umask is 511, not 18")


def test_a_witness_that_fails_is_reported() -> None:
    assert len(verdict({}, status="failed").affected) == 1


@pytest.mark.parametrize(
    ("error", "reported"),
    [
        ({"class": "lost"}, False),
        ({"class": "signal", "code": 9}, False),
        ({"class": "signal", "code": 14}, True),
        ({"class": "exit_code", "code": 1}, True),
        ({"class": "raised", "exception": "builtins.KeyError"}, True),
        ({"class": "raised", "exception": "django.db.utils.OperationalError"}, False),
        (
            {"class": "raised", "exception": "psycopg.OperationalError", "at": _AT.format(20)},
            True,
        ),
    ],
)
def test_only_a_fault_excuses_a_failed_attempt(error: dict[str, Any], reported: bool) -> None:
    found = verdict({"umask": 18}, {"at": _AT.format(5), "message": "m", **error})
    assert bool(found.affected) is reported


def test_a_hostile_task_that_has_not_ended_or_is_not_stored_is_reported() -> None:
    assert [each.task_id for each in verdict({"umask": 18}, hostile="started").not_run] == [2]
    stored_none = {"h": HostileSubmission("h", "thread", "crash", acknowledged=True)}
    assert len(judge_hostile(stored_none, [], []).not_run) == 1
