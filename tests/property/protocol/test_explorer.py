"""Test that every small history keeps the laws, and breaks them without a guard or a precaution."""

from __future__ import annotations

import pytest

from tests.property.protocol.explorer import SIZES, Explorer, Found, explore
from tests.property.protocol.laws import Law
from tests.property.protocol.state import Limits, Row, Rules

_SMALL = Limits(reports=1, faults=1, by_hand=False, contact=True)


def format_history(found: Found, law: Law) -> str:
    """Format the shortest history that breaks a law."""
    return f"{law}:\n  " + "\n  ".join(map(str, found.histories[law]))


@pytest.mark.parametrize("name", SIZES)
def test_every_history_keeps_the_laws(name: str) -> None:
    found = explore(name)
    print(f"\nexplored {name}: {found.states:,} states, {found.transitions:,} transitions")
    assert found.complete
    assert not found.histories, "\n".join(format_history(found, law) for law in found.histories)


@pytest.mark.parametrize(
    ("row", "rules", "limits", "laws"),
    [
        # A worker announces a task before its start is written, and dies: the task is never
        # rescued.
        (Row(), Rules(adopt_starts=False), _SMALL, {Law.UNSTUCK, Law.COUNTED}),
        # The worker begins before its acceptance has arrived, so that another one can begin too.
        (Row(stop=True), Rules(accept_first=False), _SMALL, {Law.NOT_TWICE}),
        # The worker moves twice, and the coordinator between refuses the returned task.
        (
            Row(),
            Rules(hand_back_guard=True),
            Limits(leases=1, reports=1, faults=2, by_hand=False),
            {Law.UNSTUCK},
        ),
    ],
    ids=["announcing starts the task", "accepted before it begins", "returned to any coordinator"],
)
def test_without_a_precaution_a_law_is_broken(
    row: Row, rules: Rules, limits: Limits, laws: set[Law]
) -> None:
    found = Explorer((row,), rules=rules, limits=limits).run()
    assert laws <= found.histories.keys()
    for law in laws:
        print("\n" + format_history(found, law))


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
        print("\n" + format_history(found, law))
