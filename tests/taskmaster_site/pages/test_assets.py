"""Test the assets of the pages: no other hosts, small, vendored files unchanged."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from django.test import Client

from tests.factories import stored
from tests.taskmaster_site.pages.people import client, text

ROOT = Path(__file__).resolve().parents[3]
STATIC = ROOT / "static" / "taskmaster"
IMPORT = re.compile(r"""^import\b.*?["'](\./[^"']+)""", re.M)


@pytest.mark.parametrize("folder", ["static/taskmaster/vendor", "tests/browser/vendor"])
def test_vendored_files_are_unchanged_and_have_their_licences(folder: str) -> None:
    listed = re.findall(
        r"^(\S+) .* ([0-9a-f]{64}) .*?(\S+)$", (ROOT / folder / "README").read_text(), re.M
    )
    assert listed
    for name, digest, licence in listed:
        assert hashlib.sha256((ROOT / folder / name).read_bytes()).hexdigest() == digest
        assert (ROOT / folder / licence).stat().st_size > 100


def loaded(page: str) -> set[Path]:
    """Return the files of static/taskmaster that a page loads, with the imports of its modules."""
    names = re.findall(r"/static/taskmaster/([\w/.-]+?)(?:\.[0-9a-f]{12})?(\.\w+)[\"#]", page)
    found, new = set[Path](), {STATIC / f"{stem}{suffix}" for stem, suffix in names}
    while new:
        found |= new
        imports = {
            (file.parent / name).resolve()
            for file in new
            if file.suffix == ".js"
            for name in re.findall(
                r"""^(?:import|export)\b.*?["'](\./[^"']+)""", file.read_text(), re.M
            )
        }
        new = imports - found
    return found


#: The terminal of the task's page alone is 345 kB: a complete terminal emulator, loaded only there.
TERMINAL = 352_200


@pytest.mark.django_db
def test_the_assets_of_each_page_are_below_150_kb_and_the_terminal() -> None:
    [task] = stored(1)
    browser = client("view_task", "add_task", "view_worker")
    for address in ("/", "/tasks/", f"/tasks/{task}/", "/workers/"):
        most = 150_000 + (TERMINAL if address == f"/tasks/{task}/" else 0)
        files = loaded(text(browser.get(address)))
        assert len(files) >= 10
        assert sum(file.stat().st_size for file in files) < most
        names = {file.name for file in files}
        assert ("xterm.mjs" in names) == (address == f"/tasks/{task}/")


@pytest.mark.django_db
def test_a_page_loads_nothing_from_other_hosts_and_has_no_inline_script() -> None:
    [task] = stored(1)
    browser = client("view_task", "add_task", "view_worker")
    for address in ("/", "/tasks/", f"/tasks/{task}/", "/workers/", "/nowhere/"):
        answer = browser.get(address)
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        page = text(answer)
        assert not re.search(r"""(?:src|href|action)=["']?(?:https?:)?//""", page)
        assert not re.search(r"<script(?![^>]*(?:src=|application/json))", page)
        assert not re.search(r"""\s(?:on\w+|style)=["']""", page)


@pytest.mark.django_db
def test_the_admin_and_the_login_page_also_have_the_policy() -> None:
    answer = Client().get("/admin/login/")
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "taskmaster/theme.js" in text(answer)
