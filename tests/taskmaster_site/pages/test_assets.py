"""What the pages load: from here alone, small, and as its authors made it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

from tests.taskmaster_site.pages.people import client, text
from tests.tasks.sample import stored

ROOT = Path(settings.BASE_DIR)


@pytest.mark.parametrize("folder", ["static/vendor", "tests/browser/vendor"])
def test_what_others_wrote_is_unchanged_and_has_its_licence(folder: str) -> None:
    listed = re.findall(
        r"^(\S+) .* ([0-9a-f]{64}) .*?(\S+)$", (ROOT / folder / "README").read_text(), re.M
    )
    assert listed
    for name, digest, licence in listed:
        assert hashlib.sha256((ROOT / folder / name).read_bytes()).hexdigest() == digest
        assert (ROOT / folder / licence).stat().st_size > 100


def test_all_assets_of_the_pages_together_are_below_150_kb() -> None:
    """What dresses Django's admin comes beside Django's own assets."""
    files = {*(ROOT / "static/vendor").glob("*.[cj]s*"), *(ROOT / "static/taskmaster").iterdir()}
    of_the_admin = (
        "admin.css",
        *(each.name for each in files if each.stem.startswith("operation")),
    )
    files = {each for each in files if each.name not in of_the_admin}
    assert sum(file.stat().st_size for file in files) < 150_000


@pytest.mark.django_db
def test_a_page_loads_nothing_from_elsewhere_and_has_no_script_in_it() -> None:
    [task] = stored(1)
    browser = client("view_task", "add_task", "view_worker")
    for address in ("/", f"/tasks/{task}/", "/nowhere/"):
        answer = browser.get(address)
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        page = text(answer)
        assert not re.search(r"""(?:src|href|action)=["']?(?:https?:)?//""", page)
        assert not re.search(r"<script(?![^>]*(?:src=|application/json))", page)
        assert not re.search(r"""\s(?:on\w+|style)=["']""", page)


@pytest.mark.django_db
def test_the_admin_and_the_login_page_have_the_policy_too() -> None:
    answer = Client().get("/admin/login/")
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "taskmaster/theme.js" in text(answer)
