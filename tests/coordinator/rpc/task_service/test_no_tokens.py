"""Test the error for clients of a project without the REST framework."""

from __future__ import annotations

import pytest
from django.apps import apps

from taskmaster.coordinator.rpc import client_calls


def test_without_an_app_for_tokens_the_error_names_the_missing_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(apps, "is_installed", lambda _: False)
    with pytest.raises(client_calls.Unauthenticated, match=r"require django-taskmaster\[api\]"):
        client_calls.user_of("Token 1234")
