"""Test that the documentation builds without warnings, and that a broken link is a warning."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres_plugin import ROOT

pytestmark = pytest.mark.timeout(300)

DOCS = ROOT / "docs"


def _build(source: Path, into: Path) -> subprocess.CompletedProcess[str]:
    """Build as `make docs` does."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "--no-color"),
            *("-b", "html", "-d", str(into / "doctrees"), str(source), str(into / "html")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_the_site_has_every_page_and_builds_without_a_warning(tmp_path: Path) -> None:
    done = _build(DOCS, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {each.relative_to(DOCS).with_suffix("") for each in DOCS.rglob("*.md")}
    built = {
        each.relative_to(tmp_path / "html").with_suffix("") for each in tmp_path.rglob("*.html")
    }
    assert pages <= built
    # A link to the README of deploy/ leads to the page that includes it.
    operations = (tmp_path / "html" / "scaling.html").read_text()
    assert "deploy/README.md" not in operations


def test_broken_links_missing_pictures_and_pages_in_no_list_are_errors(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    (source / "_static").mkdir(parents=True)
    shutil.copy(DOCS / "conf.py", source)
    shutil.copytree(ROOT / "static" / "taskmaster", tmp_path / "static" / "taskmaster")
    (source / "_static" / "site.css").touch()
    (source / "lonely.md").write_text("# Lonely\n")
    (source / "index.md").write_text(
        "# Broken\n\n"
        "[page](nowhere.md) [anchor](#nothing) [anchor of a page](lonely.md#nothing)\n"
        "[file](../proto/nothing.proto) ![picture](images/nothing.png)\n"
    )
    done = _build(source, tmp_path)
    assert done.returncode != 0
    for expected in (
        "'nowhere.md'",
        "cross-reference target not found: 'nothing'",
        "local id not found in doc 'lonely': 'nothing'",
        "'../proto/nothing.proto'",
        "image file not readable: images/nothing.png",
        "lonely.md: WARNING: document isn't included in any toctree",
    ):
        assert expected in done.stderr
