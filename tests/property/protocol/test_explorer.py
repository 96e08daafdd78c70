"""Every small history keeps the laws, but for the known holes; with a guard taken out it fails."""

from __future__ import annotations

import pytest

from tests.property.protocol.explorer import SIZES, Explorer, Found, explored
from tests.property.protocol.laws import OPEN, REPAIRED, Law
from tests.property.protocol.state import Limits, Row, Rules

_SMALL = Limits(reports=1, faults=1, by_hand=False, contact=True)


def told(found: Found, law: Law) -> str:
    """The shortest history that breaks a law."""
    return f"{law}:\n  " + "\n  ".join(map(str, found.histories[law]))


@pytest.mark.parametrize("name", SIZES)
def test_every_history_keeps_the_laws(name: str) -> None:
    found = explored(name)
    print(f"\nexplored {name}: {found.states:,} states, {found.transitions:,} transitions")
    assert found.complete
    broken = found.histories.keys() - OPEN.keys()
    assert not broken, "\n".join(told(found, law) for law in broken)


@pytest.mark.parametrize("law", OPEN)
def test_a_hole_is_open(law: Law, request: pytest.FixtureRequest) -> None:
    request.applymarker(pytest.mark.xfail(strict=True, reason=OPEN[law]))
    found = explored("one stoppable task, one fault")
    assert law not in found.histories, told(found, law)


@pytest.mark.parametrize("row", [Row(), Row(stop=True)], ids=["continue", "stop"])
def test_with_the_holes_closed_every_history_keeps_the_laws(row: Row) -> None:
    found = Explorer((row,), rules=REPAIRED, limits=_SMALL).run()
    print(f"\nrepaired: {found.states:,} states, {found.transitions:,} transitions")
    assert found.complete
    assert not found.histories, "\n".join(told(found, law) for law in found.histories)


def test_a_hand_back_counts_whichever_coordinator_it_reaches() -> None:
    """Else a worker that moves twice leaves a task that nobody runs and nobody rescues."""
    rules = REPAIRED._replace(hand_back_guard=True)
    limits = Limits(leases=1, reports=1, faults=2, by_hand=False)
    found = Explorer((Row(),), rules=rules, limits=limits).run()
    assert found.histories.keys() == {Law.UNSTUCK}
    print("\n" + told(found, Law.UNSTUCK))


@pytest.mark.parametrize(
    ("rules", "laws"),
    [
        (Rules(lease_guard=False), {Law.FENCED, Law.RESULT}),
        (Rules(status_guard=False), {Law.FENCED, Law.FINISHED, Law.LEGAL}),
    ],
    ids=["lease", "status"],
)
def test_without_a_guard_the_laws_are_broken(rules: Rules, laws: set[Law]) -> None:
    found = Explorer((Row(),), rules=rules, limits=_SMALL).run(most=20_000)
    assert laws <= found.histories.keys()
    for law in laws:
        print("\n" + told(found, law))
