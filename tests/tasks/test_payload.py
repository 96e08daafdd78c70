"""Test the conversion of arguments to JSON texts."""

from __future__ import annotations

from taskmaster.tasks.payload import payload


def test_an_escaped_backslash_before_u0000_is_not_a_nul() -> None:
    assert payload(["\\u0000"], {}) == ('["\\\\u0000"]', "{}")
