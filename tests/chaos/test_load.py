"""Test the submissions of the load generator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from chaos.load import PlannedOutcome, make
from taskmaster.tasks import registry, submission


@pytest.fixture
def _chaos_tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    registry.load.cache_clear()
    monkeypatch.setenv("TASKMASTER_TASK_MODULES", "chaos.tasks")
    yield
    registry.load.cache_clear()


@pytest.mark.usefixtures("_chaos_tasks")
def test_every_submission_of_the_mix_is_valid_and_has_its_key() -> None:
    random = Random(1)
    for number in range(500):
        made = make(f"k{number}", random)
        new = submission.parse(made.fields)
        assert new.tags == (made.key,)
        assert made.key in new.args + new.kwargs
        assert (new.max_attempts == made.attempts) == (made.plan != PlannedOutcome.COMPLETES)


def test_the_mix_has_every_plan_and_some_scheduled_tasks() -> None:
    random = Random(1)
    made = [make(f"k{number}", random) for number in range(1_000)]
    plans = Counter(each.plan for each in made)
    assert set(plans) == set(PlannedOutcome)
    assert plans[PlannedOutcome.COMPLETES] > 800
    later = sum("scheduled_at" in each.fields for each in made)
    assert 200 < later < 300
