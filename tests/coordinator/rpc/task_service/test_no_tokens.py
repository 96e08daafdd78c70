"""Test the error for clients of a project without the REST framework."""

from __future__ import annotations

import pytest
from django.apps import apps

from taskmaster.coordinator.rpc import task_service


def test_without_an_app_for_tokens_the_error_names_the_missing_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(apps, "is_installed", lambda _: False)
    with pytest.raises(task_service.Unauthenticated, match=r"require django-taskmaster\[api\]"):
        task_service._user("Token 1234")
