"""Test that stored JSON is indented without a change of its values."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmaster.tasks.presentation.json_view import indented_text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(max_examples=40)
@given(value=VALUES)
def test_it_is_indented_as_python_does(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert indented_text(text) == json.dumps(value, ensure_ascii=False, indent=2)


@pytest.mark.parametrize(
    "text", ["1e16", "-0.0", "12345678901234567890.000", "1E+400", '"\\u00e9 \\" [1,2]"', "null"]
)
def test_numbers_and_strings_stay_as_they_are_stored(text: str) -> None:
    assert indented_text(text) == text
    assert indented_text(f'{{"a":{text},"a":[{text}]}}').count(text) == 2


def test_long_and_deep_values_are_not_indented() -> None:
    for text in ("[" * 400 + "]" * 400, f"[{'1,' * 20_000}1]"):
        assert indented_text(text) == text
