"""Read the fenced code blocks of the documentation, and the notes on how to run them."""

from __future__ import annotations

import ast
import configparser
import json
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.postgres_plugin import ROOT

#: Every page whose blocks are run.
PAGES = sorted(
    [ROOT / "README.md", ROOT / "deploy" / "README.md", *(ROOT / "docs").rglob("*.md")],
)
NEW = ROOT / "docs" / "quickstart" / "new-project.md"
EXISTING = ROOT / "docs" / "quickstart" / "existing-project.md"
#: The keys that a comment directly above a fence may have. The value follows the colon.
NOTES = ("not run", "keeps running", "stops after", "each line stops after", "output of")

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\S*)")
_NOTE = re.compile(r"^ *<!-- (?P<kind>[a-z ]+): (?P<value>.+) -->$")
_FILE = re.compile(r"^# (?P<path>[\w/]+\.py)$")


@dataclass(frozen=True)
class Block:
    """Hold one block: its place, its language, its text, and the note above it."""

    page: Path
    line: int
    language: str
    text: str
    note: str = ""
    value: str = ""

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str:
        """Return the file that the first line of the block names."""
        found = _FILE.match(self.text.partition("\n")[0])
        return found["path"] if found and self.language == "python" else ""


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page, without directives: Sphinx checks those."""
    lines = page.read_text().splitlines()
    position = 0
    while position < len(lines):
        fence = _FENCE.match(lines[position])
        if fence is None:
            position += 1
            continue
        end = next(n for n in range(position + 1, len(lines)) if lines[n].strip() == "```")
        indent = len(fence["indent"])
        text = "".join(f"{line[indent:]}\n" for line in lines[position + 1 : end])
        note = _NOTE.match(lines[position - 1]) if position else None
        if not fence["language"].startswith("{"):
            yield Block(
                page,
                position + 1,
                fence["language"],
                text,
                note["kind"] if note else "",
                note["value"] if note else "",
            )
        position = end + 1


def _bash(text: str) -> None:
    done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def _python(text: str) -> None:
    # An ellipsis replaces the other lines of a project.
    ast.parse(re.sub(r", …|…,? ?", "", text))


def _ini(text: str) -> None:
    configparser.ConfigParser(interpolation=None).read_string(text)


#: How the form of a block is checked, by its language.
FORMS: dict[str, Callable[[str], object]] = {
    "python": _python,
    "sh": _bash,
    "json": json.loads,
    "yaml": yaml.safe_load,
    "toml": tomllib.loads,
    "ini": _ini,
    "text": str,
}
#: Languages of blocks that are run, or compared with what was printed. The form is all of others.
RUN = ("python", "sh", "text")


def check_form(block: Block) -> None:
    """Parse a block as its language. Raises AssertionError with its place."""
    assert block.language in FORMS, f"{block.where}: no kind of block: {block.language!r}"
    try:
        FORMS[block.language](block.text)
    except Exception as error:
        raise AssertionError(f"{block.where}: {block.language}: {error}") from error
