"""Test which runs a due schedule gets. No test here reads a clock or the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskmaster.tasks.messages import NewTask
from taskmaster.tasks.schedule_messages import DueSchedule, Plan
from taskmaster.tasks.schedules.planning import Conditions, Gap, Submission, plan
from taskmaster.tasks.schedules.stored import timing_of
from taskmaster.tasks.timing.timing import jitter

#: The first due time of every schedule here, which is then due once a minute.
FIRST = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
VALID = Submission(NewTask("examples.tasks.add"))
GAP = Gap(FIRST, FIRST + timedelta(hours=1), "No coordinator led from 02:00:00 to 03:00:00 UTC.")


def minutes(number: float) -> datetime:
    """Return the time this number of minutes after the first due time."""
    return FIRST + timedelta(minutes=number)


def a_due_schedule(**fields: Any) -> DueSchedule:
    given = {
        **dict.fromkeys(DueSchedule._fields),
        "id": 1, "version": 0, "name": "one", "task": "examples.tasks.add",
        "args": "[1, 2]", "kwargs": "{}",
        "trigger": "interval", "interval_s": 60.0, "anchor": FIRST, "dates": [], "timezone": "UTC",
        "skipped_time": "cron", "repeated_time": "cron",
        "jitter_s": 0.0, "missed": "latest", "missed_max": 10, "catch_up_s": 86_400.0,
        "overlap": "allow", "paused_by": "", "pause_reason": "",
        "next_due_at": FIRST, "next_run_at": FIRST, "runs_made": 0, "taken": [],
        **fields,
    }  # fmt: skip
    return DueSchedule(**given)


def planned(
    now: datetime,
    *,
    submission: Submission = VALID,
    ahead_s: float = 30,
    halted: str = "",
    **fields: Any,
) -> Plan:
    schedule = a_due_schedule(**fields)
    conditions = Conditions(timedelta(seconds=ahead_s), halted, [GAP])
    return plan(schedule, timing_of(schedule), submission, now, conditions)


def outcomes(found: Plan) -> list[tuple[str, int, float]]:
    """Return state, number of due times and minute of each run."""
    return [
        (run.state, run.due_times, (run.due_at - FIRST) / timedelta(minutes=1))
        for run in found.runs
    ]


def test_a_run_is_planned_for_the_look_ahead_before_its_start() -> None:
    found = planned(minutes(-5))
    assert found.act_at == FIRST - timedelta(seconds=30)
    assert outcomes(found) == [("created", 1, 0)]
    assert (found.next_due_at, found.next_run_at) == (minutes(1), minutes(1))
    assert found.runs[0].reason == ""


def test_all_due_times_within_the_look_ahead_are_planned() -> None:
    found = planned(minutes(0), interval_s=10.0)
    assert [run.due_at for run in found.runs] == [
        FIRST + timedelta(seconds=seconds) for seconds in (0, 10, 20, 30)
    ]


@pytest.mark.parametrize("overlap", ["skip", "queue_one", "cancel_running"])
def test_a_run_whose_overlap_must_be_decided_is_planned_for_its_due_instant(overlap: str) -> None:
    found = planned(minutes(-1), overlap=overlap, interval_s=10.0)
    assert found.act_at == FIRST
    assert outcomes(found) == [("created", 1, 0)]
    assert found.next_due_at == FIRST + timedelta(seconds=10)


def test_the_start_is_jittered_and_the_due_time_is_not() -> None:
    delay = jitter("one", FIRST, 20)
    found = planned(minutes(-5), jitter_s=20.0, next_run_at=FIRST + delay)
    assert (found.runs[0].due_at, found.runs[0].run_at) == (FIRST, FIRST + delay)
    assert found.act_at == FIRST + delay - timedelta(seconds=30)
    assert found.next_run_at == minutes(1) + jitter("one", minutes(1), 20)


def test_a_run_that_is_late_by_less_than_a_minute_is_created_with_the_cause() -> None:
    found = planned(minutes(0.9))
    assert outcomes(found) == [("created", 1, 0), ("created", 1, 1)]
    assert found.runs[0].reason == f"Created 54 s late. {GAP.cause}"
    assert (found.runs[1].reason, found.missed) == ("", 0)


MISSED = {
    "skip": [("missed", 5, 0)],
    "latest": [("missed", 4, 0), ("created", 1, 4)],
    "all": [("missed", 2, 0), ("created", 1, 2), ("created", 1, 3), ("created", 1, 4)],
}


@pytest.mark.parametrize("policy", MISSED)
def test_missed_runs_follow_their_policy(policy: str) -> None:
    found = planned(minutes(5.25), missed=policy, missed_max=3)
    # Those at the minutes 0 to 4 are missed, the one at minute 5 is late by 15 s.
    assert outcomes(found) == [*MISSED[policy], ("created", 1, 5)]
    assert found.missed == 5
    if policy != "skip":
        assert found.runs[-2].reason == f"Made up at 02:05:15 UTC. {GAP.cause}"
    assert found.runs[0].reason.startswith(GAP.cause)


def test_a_due_time_that_has_a_run_is_left_out() -> None:
    found = planned(minutes(5.25), missed="skip", taken=[minutes(1), minutes(6)])
    assert outcomes(found) == [("missed", 4, 0), ("created", 1, 5)]
    assert found.next_due_at == minutes(7)


def test_the_reason_of_a_missed_run_names_the_rule() -> None:
    rules = {
        "skip": "Missed runs are not made up.",
        "latest": "Only the latest missed run is made up.",
        "all": "Only the newest 3 missed runs are made up.",
    }
    for policy, rule in rules.items():
        found = planned(minutes(5.25), missed=policy, missed_max=3)
        assert found.runs[0].reason == f"{GAP.cause} {rule}"


def test_a_missed_run_without_a_known_gap_says_that_the_leader_fell_behind() -> None:
    found = planned(minutes(90), missed="skip", next_due_at=minutes(80), next_run_at=minutes(80))
    assert found.runs[0].reason.startswith("The leading coordinator fell behind.")


def test_runs_outside_the_catch_up_window_are_not_made_up() -> None:
    found = planned(minutes(5.25), missed="all", catch_up_s=135.0)
    assert outcomes(found) == [
        ("outside_window", 3, 0),
        ("created", 1, 3),
        ("created", 1, 4),
        ("created", 1, 5),
    ]
    assert "made up for 135 s" in found.runs[0].reason


def test_a_long_outage_is_recorded_in_parts_and_only_its_latest_run_is_made_up() -> None:
    now, states = minutes(2_500.5), []
    schedule = a_due_schedule(catch_up_s=1e9)
    while True:
        found = plan(schedule, timing_of(schedule), VALID, now, Conditions(timedelta(0)))
        states += [(run.state, run.due_times) for run in found.runs]
        assert found.next_due_at is not None
        if found.next_due_at > now:
            break
        schedule = schedule._replace(next_due_at=found.next_due_at, next_run_at=found.next_run_at)
    assert [state for state, _ in states] == ["missed"] * 3 + ["created"] * 2
    assert sum(number for _, number in states) == 2_501


def test_the_newest_runs_of_a_long_outage_are_made_up_with_the_policy_all() -> None:
    found = planned(minutes(1_500.5), missed="all", missed_max=5, catch_up_s=1e9)
    # The reason changes where the known gap ends.
    assert outcomes(found) == [("missed", 61, 0), ("missed", 939, 61)]
    assert found.next_due_at == minutes(1_000)


def test_due_times_of_a_pause_are_one_row_and_are_recorded_once_a_minute() -> None:
    found = planned(
        minutes(0.5), interval_s=10.0, paused_at=FIRST, paused_by="ann", pause_reason="leak"
    )
    assert outcomes(found) == [("paused", 4, 0)]
    assert found.runs[0].reason == "Paused by ann since 2026-03-01 02:00:00 UTC: leak"
    assert found.next_due_at == FIRST + timedelta(seconds=40)
    assert found.next_run_at == minutes(1.5)
    assert found.missed == 0


def test_a_pause_of_everything_holds_for_each_schedule() -> None:
    found = planned(minutes(0.25), halted="All paused.")
    assert outcomes(found) == [("paused", 1, 0)]
    assert (found.runs[0].reason, found.next_run_at) == ("All paused.", minutes(1))
    assert found.act_at == FIRST


def test_a_refused_submission_is_recorded_when_it_is_due() -> None:
    refused = Submission(None, "task: 'gone' is not a registered task.")
    found = planned(minutes(-5), submission=refused)
    assert (found.act_at, found.task, found.pause_reason) == (FIRST, None, "")
    assert outcomes(found) == [("refused", 1, 0)]
    assert found.runs[0].reason == refused.refusal


def test_the_owner_who_is_not_active_pauses_the_schedule() -> None:
    refused = Submission(None, "The owner ann is not active.", pauses=True)
    assert planned(FIRST, submission=refused).pause_reason == refused.refusal


ENDS = {
    "its end": ({"ends_at": FIRST}, "No due time is left before its end at 2026-03-01 02:00:00"),
    "its dates": ({"trigger": "dates", "dates": [FIRST]}, "No date is left."),
}


@pytest.mark.parametrize("limit", ENDS)
def test_a_schedule_ends_after_its_last_due_time_with_the_reason(limit: str) -> None:
    fields, reason = ENDS[limit]
    found = planned(FIRST, **fields)
    assert (found.next_due_at, found.next_run_at) == (None, None)
    assert found.ended_reason.startswith(reason)


def test_no_more_runs_are_planned_than_the_maximum_allows() -> None:
    found = planned(minutes(0), interval_s=10.0, max_runs=5, runs_made=3)
    assert len(found.runs) == 2
    made_up = planned(minutes(5.25), missed="all", max_runs=2)
    assert outcomes(made_up) == [("missed", 3, 0), ("created", 1, 3), ("created", 1, 4)]
