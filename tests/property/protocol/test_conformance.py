"""Test that the explorer's transcription behaves like the real SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest

from tests.property.protocol.explorer import SIZES, explore
from tests.property.protocol.guards import Call, transcribed
from tests.property.protocol.sql import Database
from tests.property.protocol.state import AS_IS, Row

#: These read each row's call from a column; the others take one call per statement.
_BATCHED = ("start", "complete", "fail", "live")


@pytest.fixture
def database() -> Iterator[Database]:
    database = Database()
    yield database
    database.close()


def visited() -> set[tuple[Row, Call]]:
    """Return every explored statement, with its row."""
    return {call for name in SIZES for call in explore(name).calls}


def batches(calls: set[tuple[Row, Call]]) -> list[list[tuple[Row, Call]]]:
    """Group the calls that one statement can execute together."""
    found: dict[object, list[tuple[Row, Call]]] = defaultdict(list)
    for row, call in sorted(calls, key=repr):
        key: object = call
        if call.name in _BATCHED:
            key = call.name
        elif call.name == "release":
            key = call.name, call.coordinator
        elif call.name == "adopt":
            key = call.name, call.coordinator, call.worker
        found[key].append((row, call))
    return list(found.values())


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
# It takes forty seconds on an idle machine.
@pytest.mark.timeout(400)
def test_every_visited_statement_matches_its_transcription(database: Database) -> None:
    calls = visited()
    for batch in batches(calls):
        database.fill([row for row, _ in batch])
        ids = database.execute({number: call for number, (_, call) in enumerate(batch, 1)})
        for number, (after, (row, call)) in enumerate(zip(database.rows(), batch, strict=True), 1):
            expected = transcribed(row, call, AS_IS)
            assert after == (row if expected is None else expected), f"{call} of {row}"
            if ids is not None:
                assert (number in ids) == (expected is not None), f"{call} of {row}"
    shapes = {row for row, _ in calls}
    print(f"\nconformance: {len(calls):,} statements on {len(shapes):,} rows")
