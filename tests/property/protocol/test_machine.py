"""Test that the laws hold in random histories over the real SQL, and break without its guards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from taskmaster.tasks.statements import statement
from taskmaster.tasks.store import async_store as store
from tests.property.protocol.laws import Law
from tests.property.protocol.machine import Machine
from tests.property.protocol.sql import Database
from tests.property.protocol.state import AS_IS, Rules

pytestmark = pytest.mark.django_db(transaction=True)

#: The statements that write reports.
_REPORTS = ("start_attempts", "complete_attempts", "fail_attempts", "release_tasks")
#: The text of each guard, and the statements from which it is removed.
_GUARDS = {
    "lease_guard": ("task.lease = report.lease", _REPORTS),
    "status_guard": ("task.status || '' IN ('picked', 'started')", _REPORTS[:3]),
}
_SETTINGS = settings(
    deadline=None,
    max_examples=100,
    stateful_step_count=40,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def database() -> Iterator[Database]:
    database = Database()
    yield database
    database.close()


def machine_for(database: Database, rules: Rules = AS_IS) -> type[Machine]:
    fields = {
        "database": database,
        "rules_played": rules,
        "counts": Counter(),
    }
    return type("Protocol", (Machine,), fields)


@pytest.mark.parametrize("histories", [60, pytest.param(200, marks=pytest.mark.long)])
@pytest.mark.timeout(600)
def test_the_laws_hold_in_random_histories(database: Database, histories: int) -> None:
    machine = machine_for(database)
    run_state_machine_as_test(machine, settings=settings(_SETTINGS, max_examples=histories))
    steps = ", ".join(f"{kind} {count}" for kind, count in machine.counts.most_common())
    print(f"\nmachine: {machine.counts.total():,} steps: {steps}")
    # The histories are long enough to be meaningful.
    for kind in ("deliver", "rescue", "take_over", "hello", "retry"):
        assert machine.counts[kind] > 10, kind
    for kind in ("park", "unpark", "release_paused"):
        assert machine.counts[kind], kind


@pytest.mark.parametrize("guard", _GUARDS)
def test_without_a_guard_a_stale_report_is_accepted(
    database: Database, monkeypatch: pytest.MonkeyPatch, guard: str
) -> None:
    condition, names = _GUARDS[guard]

    def unguarded(name: str, package: str = "taskmaster.tasks.sql") -> str:
        text = statement(name, package)
        if name not in names:
            return text
        assert text.count(condition) == 1
        return text.replace(condition, "TRUE")

    monkeypatch.setattr(store, "statement", unguarded)
    machine = machine_for(database, AS_IS._replace(**{guard: False}))
    quick = settings(_SETTINGS, max_examples=500, phases=[Phase.generate], derandomize=True)
    with pytest.raises(AssertionError, match=Law.FENCED):
        run_state_machine_as_test(machine, settings=quick)
