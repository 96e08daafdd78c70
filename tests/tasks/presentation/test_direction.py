"""Test that characters that change the direction of text are shown as codes."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from taskmaster.tasks.models import Task
from taskmaster.tasks.presentation import error_line
from taskmaster.tasks.presentation.direction import show_direction

_STREAMS = Path("static/taskmaster/streams.js").read_text()
_CLASSES = ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI")


def test_every_control_is_shown_and_everything_else_is_unchanged() -> None:
    for code in range(0x110000):
        if unicodedata.bidirectional(chr(code)) in _CLASSES:
            assert show_direction(f"a{chr(code)}b") == f"aU+{code:04X}b"
    text = "Ünï שלום \t\n\u200d"
    assert show_direction(text) == text


def test_the_console_shows_the_same_characters() -> None:
    assert r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]" in _STREAMS


def test_the_error_in_a_list_has_the_code_and_the_api_has_the_character() -> None:
    task = Task(status="failed", error="Evil: \u202etxt")
    assert "U+202Etxt" in error_line.cell(task)
    assert error_line.of(task) == "Evil: \u202etxt"
