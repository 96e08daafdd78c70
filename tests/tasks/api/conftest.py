"""Fixtures for the tests of the endpoints."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from tests.tasks.api.people import ALL, client_with


@pytest.fixture
def client(db: None) -> APIClient:
    """Return a client with all permissions on tasks."""
    return client_with(*ALL)
