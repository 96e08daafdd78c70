"""Test the queues that filters offer."""

from __future__ import annotations

import pytest

from taskmaster.tasks.models import Task
from taskmaster.tasks.queries import choices
from tests.factories import stored


@pytest.mark.django_db
def test_pending_and_recent_queues_are_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "_NEW", 1)
    old, _ = stored(queue="old")[0], stored(queue="waiting")
    [recent] = stored(queue="recent")
    Task.objects.filter(pk__in=[old, recent]).update(status="complete")
    queues = choices.known_queues()
    assert queues == sorted(queues)
    assert {"default", "recent", "waiting"} <= set(queues)
    assert "old" not in queues
