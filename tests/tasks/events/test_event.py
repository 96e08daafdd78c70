"""Define kinds of events that every part can store and show."""

from __future__ import annotations

import pytest

from taskmaster.tasks.event import ORDINARY, EventKind
from taskmaster.tasks.models import Event
from taskmaster.tasks.presentation import status_badge


@pytest.mark.parametrize("kind", EventKind)
def test_a_kind_fits_into_its_column_and_has_a_colour(kind: EventKind) -> None:
    assert len(kind) <= (Event._meta.get_field("kind").max_length or 0)
    assert kind in status_badge.EVENTS


@pytest.mark.parametrize("kind", ["failed", "rescued", "retried", "offline", "operator"])
def test_a_kind_that_an_operator_must_see_is_not_aggregated_first(kind: str) -> None:
    assert kind not in ORDINARY
