"""Test that the project is written in plain technical English, without words that are unclear."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATTERNS = ("*.py", "*.sql", "*.md", "*.html", "*.js", "*.proto", "*.yaml", "*.yml", "*.toml")
#: Generated code, third-party files, and this file, which lists the words.
EXCLUDED = (
    "proto/*_pb2*",
    "static/**/vendor/**",
    "tests/browser/vendor/**",
    "tests/test_language.py",
)
NOUNS = (
    "JSON|number|integer|boolean|name|list|task|worker|pool|queue|time|date|text|object|file|folder"
    "|path|user|UUID|URL|address|host|port|HOST:PORT|token|setting"
)
#: Underscores separate words too, so that identifiers are searched.
WORDS = re.compile(
    r"(?<![a-z])(?:"
    r"whoever|somebody|anybody|nobody|anew|shall|in[\s_]+vain|bury|buried|strangers|at[\s_]+once"
    rf"|(?<!there )(?<!there_)is[\s_]+no[\s_]+(?:{NOUNS})"
    r")(?![a-z])",
    re.IGNORECASE,
)
ALLOWED = re.compile(
    r"""["'`]nobody["'`]"""  # the Unix account
    r"|user=nobody\b"
)


def files() -> Iterator[Path]:
    """Yield the tracked files to search."""
    excluded = [f":(exclude,glob){each}" for each in EXCLUDED]
    found = subprocess.run(
        ["git", "ls-files", "-z", "--", *PATTERNS, "Makefile", ".ci/run", *excluded],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    yield from (ROOT / name for name in found.stdout.split("\0") if name)


def hits(path: Path) -> Iterator[str]:
    """Yield file, line and word of every match."""
    text = path.read_text(encoding="utf-8")
    text = ALLOWED.sub(lambda match: " " * len(match[0]), text)
    for match in WORDS.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield f"{path.relative_to(ROOT)}:{line}: {' '.join(match[0].split())}"


def test_no_file_contains_a_banned_word() -> None:
    found = [hit for path in files() for hit in hits(path)]
    assert not found, "Use plain words:\n" + "\n".join(found)
