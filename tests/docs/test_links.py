"""Test the links to the documentation from other files, and the form of its pages."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres_plugin import ROOT

#: Files that Sphinx does not read as pages, or reads only as a part of one.
READMES = [ROOT / "README.md", ROOT / "deploy" / "README.md", ROOT / "CHANGELOG.md"]
_WIDTH = 100


def _tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_every_page_that_code_or_a_message_names_exists() -> None:
    named = [
        (file, page)
        for file in _tracked("*.py", "*.pyi", "*.proto", "*.html", "*.js", "*.sql", "*.yaml")
        for page in re.findall(r"docs/[\w/-]+\.md", file.read_text())
    ]
    assert len(named) >= 5
    missing = [(str(file), page) for file, page in named if not (ROOT / page).is_file()]
    assert not missing


@pytest.mark.parametrize("page", READMES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_readme_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    local = [each for each in links if "://" not in each]
    assert [each for each in local if not (page.parent / each).exists()] == []


def _prose(page: Path) -> Iterator[tuple[int, str]]:
    fenced = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith(("|", "![")):
            yield number, line


def test_prose_wraps_at_100_columns() -> None:
    pages = sorted((ROOT / "docs").rglob("*.md"))
    long = [
        f"{page.relative_to(ROOT)}:{number}"
        for page in pages
        for number, line in _prose(page)
        if len(line) > _WIDTH
    ]
    assert not long
