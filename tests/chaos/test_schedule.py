"""Test the schedule of faults."""

from __future__ import annotations

import time
from datetime import timedelta
from itertools import pairwise

import pytest

from chaos.schedule import TRAITS, FaultKind, schedule


def test_the_same_seed_gives_the_same_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    first = schedule(7, 120)
    tomorrow = time.time() + timedelta(days=1).total_seconds()
    monkeypatch.setattr(time, "time", lambda: tomorrow)
    monkeypatch.setattr(time, "monotonic", lambda: tomorrow)
    assert schedule(7, 120) == first
    assert schedule(8, 120) != first


def test_the_schedule_is_the_same_on_every_machine() -> None:
    first = schedule(7, 120)[0]
    assert (first.at_s, first.kind, first.target) == (2.0, FaultKind.RESTART_POSTGRES, "postgres")


@pytest.mark.parametrize("seed", range(20))
def test_each_fault_ends_before_the_run_and_hits_an_allowed_target(seed: int) -> None:
    faults = schedule(seed, 120)
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)
    for fault in faults:
        assert fault.target in TRAITS[fault.kind].targets
        assert fault.at_s + fault.lasts_s <= 120
        assert 0 <= fault.choice <= 1


@pytest.mark.parametrize("seed", range(20))
def test_a_target_is_not_hit_again_during_a_fault(seed: int) -> None:
    faults = schedule(seed, 600, every_s=1)
    for target in {fault.target for fault in faults}:
        mine = [fault for fault in faults if fault.target == target]
        assert all(one.at_s + one.lasts_s < other.at_s for one, other in pairwise(mine))


def test_nearly_every_kind_comes_within_two_minutes() -> None:
    missing = [set(FaultKind) - {fault.kind for fault in schedule(seed, 120)} for seed in range(10)]
    assert all(len(each) <= 3 for each in missing)


def test_a_run_too_short_for_long_faults_has_short_ones() -> None:
    faults = schedule(1, 15, every_s=1)
    assert faults
    assert not {fault.kind for fault in faults} & {FaultKind.FREEZE_WORKER, FaultKind.CUT_WORKERS}


def test_only_the_selected_kinds_come() -> None:
    faults = schedule(1, 60, kinds=[FaultKind.KILL_CHILD])
    assert {fault.kind for fault in faults} == {FaultKind.KILL_CHILD}
