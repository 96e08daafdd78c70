"""Test that the times without runs are found, with their causes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from taskmaster.coordinator.schedules.gaps import GapFinder
from taskmaster.tasks.schedule_messages import ScheduleSearch
from taskmaster.tasks.schedules.planning import Gap
from tests.coordinator.sample import Clock

ME, OTHER = UUID(int=1), UUID(int=2)
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


class RecordedGaps:
    """A gap finder with manual clocks of the process and of the database."""

    def __init__(self, *, outage: bool = False) -> None:
        self.clock = Clock()
        self.outage = outage
        self.gaps = GapFinder(ME, had_outage=lambda _: self.outage, clock=self.clock)

    def search(
        self,
        now_s: float,
        previous_s: float | None,
        leader: UUID | None = ME,
        seen_s: float | None = None,
    ) -> list[Gap]:
        """Record a search at `now_s` seconds after noon. Return the gaps so far."""
        previous_at = None if previous_s is None else after(previous_s)
        search = ScheduleSearch(
            after(now_s), previous_at, leader, None, "", "", False, None, None, [], []
        )
        self.gaps.add(search, None if seen_s is None else after(seen_s))
        return list(self.gaps.gaps)


def test_the_first_search_of_all_has_no_gap() -> None:
    assert RecordedGaps().search(0, None, None) == []


def test_a_planned_wait_is_not_a_gap() -> None:
    found = RecordedGaps()
    found.gaps.plan_until(after(60), 60)
    found.clock.now += 60.1
    assert found.search(60.1, 0) == []


def test_a_new_leader_finds_the_time_since_the_last_heartbeat_of_the_one_before() -> None:
    [gap] = RecordedGaps().search(120, 0, OTHER, seen_s=40)
    assert (gap.start, gap.end) == (after(40), after(120))
    assert gap.cause == "No coordinator led from 12:00:40 to 12:02:00 UTC."


def test_a_new_leader_without_that_heartbeat_uses_the_last_search() -> None:
    [gap] = RecordedGaps().search(86_400, 0, OTHER)
    assert gap.cause == "No coordinator led from 2026-03-01 12:00:00 to 2026-03-02 12:00:00 UTC."


def test_a_leader_that_was_stopped_finds_the_time_since_its_plan() -> None:
    found = RecordedGaps()
    found.gaps.plan_until(after(10), 10)
    found.clock.now += 90
    [gap] = found.search(90, 0)
    assert gap.cause == (
        "The leading coordinator was stopped or overloaded from 12:00:10 to 12:01:30 UTC."
    )


def test_an_outage_is_the_cause_whichever_coordinator_led_before() -> None:
    for leader in (ME, OTHER):
        found = RecordedGaps(outage=True)
        found.gaps.plan_until(after(10), 10)
        found.clock.now += 90
        [gap] = found.search(90, 10, leader)
        assert gap.cause == "The database was unavailable from 12:00:10 to 12:01:30 UTC."


def test_a_change_of_the_database_clock_is_the_cause_if_this_process_did_not_wait() -> None:
    found = RecordedGaps()
    found.gaps.plan_until(after(10), 10)
    found.clock.now += 10
    [gap] = found.search(3_610, 0)
    assert gap.cause == (
        "The database's clock went forward by 3,600 s, from 12:00:10 to 13:00:10 UTC."
    )


def test_a_coordinator_that_leads_again_finds_the_time_since_the_last_search() -> None:
    found = RecordedGaps()
    found.gaps.plan_until(after(10), 10)
    found.gaps.stop_leading()
    [gap] = found.search(90, 20)
    assert gap.cause == "No coordinator led from 12:00:20 to 12:01:30 UTC."
