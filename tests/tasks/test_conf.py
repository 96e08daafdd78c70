"""Test the limits of settings."""

from __future__ import annotations

import pytest

from taskmaster.tasks.conf import Settings
from taskmaster.tasks.errors import ConfigurationError


@pytest.mark.parametrize("name", ["args_max_bytes", "result_max_bytes"])
def test_a_payload_must_fit_into_a_message(name: str) -> None:
    largest = 8 * 1024 * 1024
    assert getattr(Settings(**{name: largest}), name) == largest
    with pytest.raises(ConfigurationError, match=f"{name} is {largest + 1}; the maximum is"):
        Settings(**{name: largest + 1})
