"""What the tests of the endpoints share."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from tests.tasks.api.people import ALL, client_with


@pytest.fixture
def client(db: None) -> APIClient:
    """A client that may do everything with tasks."""
    return client_with(*ALL)
