"""Test the rules for JSON texts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskmaster.tasks.json_rules import MAX_DEPTH, fault, is_too_deep, non_string_keys

brackets = st.recursive(
    st.sampled_from(["[", "]", "{}", '\\"[', 1, None]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("[{"), inner),
)


def nested(levels: int, inner: str = "1") -> str:
    half = levels // 2
    return "[" * half + '{"[":' * (levels - half) + inner + "}" * (levels - half) + "]" * half


@given(inner=brackets, around=st.integers(90, 101))
def test_the_depth_is_that_of_the_parsed_value(inner: object, around: int) -> None:
    def depth(value: object) -> int:
        if isinstance(value, list | dict):
            values = value.values() if isinstance(value, dict) else value
            return 1 + max(map(depth, values), default=0)
        return 0

    text = nested(around, json.dumps(inner))
    assert is_too_deep(text) == (around + depth(inner) > MAX_DEPTH)


def test_a_megabyte_of_brackets_is_measured() -> None:
    assert is_too_deep("[" * 500_000 + "]" * 500_000)
    assert not is_too_deep("[" + "[]," * 300_000 + "[]]")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('"ü"', None),
        ('"üü"', "has 6 bytes of JSON; the limit is 5"),
        ("1e300", None),
        ("1e308", None),
    ],
)
def test_the_size_is_counted_in_bytes(text: str, reason: str | None) -> None:
    assert fault(text, 5) == reason


@pytest.mark.parametrize("text", ["1e309", "-1E+999", "9" * 400 + ".5", "9" * 250 + "e99"])
def test_numbers_that_python_cannot_represent_are_a_fault(text: str) -> None:
    assert "Out of range float" in (fault(text, 1_000) or "")


def test_keys_that_json_would_convert_are_found_at_any_depth() -> None:
    value = [{"a": ({1: 2},)}, {None: {True: 0}}]
    assert list(non_string_keys(value)) == [None, 1, True]
