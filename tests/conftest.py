"""What every test may use."""

from __future__ import annotations

import os

from django.conf import settings


def pytest_configure() -> None:
    """The test database bears the name of this checkout."""
    settings.DATABASES["default"]["TEST"]["NAME"] = os.environ["TASKMASTER_TEST_DATABASE"]


