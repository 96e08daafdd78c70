"""Test the assets of the pages: no other hosts, small, vendored files unchanged."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from django.test import Client

from tests.factories import in_s, stored
from tests.schedule_rows import a_run, nightly
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


def schedule_pages() -> tuple[str, ...]:
    """Store a schedule with runs, and return the addresses of its pages."""
    schedule = nightly()
    a_run(schedule, in_s(-60), status="failed")
    a_run(schedule, in_s(-90), "missed", reason="No coordinator led.")
    page = f"/schedules/{schedule.pk}/"
    return "/schedules/", "/schedules/new/", page, f"{page}edit/"


#: The terminal of the task's page alone is 345 kB: a complete terminal emulator, loaded only there.
TERMINAL = 352_200


@pytest.mark.django_db
def test_the_assets_of_each_page_are_below_160_kb_and_the_terminal() -> None:
    [task] = stored(1)
    schedules = schedule_pages()
    browser = client("view_task", "add_task", "view_worker", "view_schedule", "change_schedule")
    for address in ("/", "/tasks/", f"/tasks/{task}/", "/workers/", *schedules):
        most = 160_000 + (TERMINAL if address == f"/tasks/{task}/" else 0)
        files = loaded(text(browser.get(address)))
        assert len(files) >= 9
        assert sum(file.stat().st_size for file in files) < most
        names = {file.name for file in files}
        assert ("xterm.mjs" in names) == (address == f"/tasks/{task}/")


@pytest.mark.django_db
def test_a_page_loads_nothing_from_other_hosts_and_has_no_inline_script() -> None:
    [task] = stored(1)
    schedules = schedule_pages()
    browser = client("view_task", "add_task", "view_worker", "view_schedule", "change_schedule")
    addresses = ("/", "/tasks/", f"/tasks/{task}/", "/workers/", "/nowhere/", *schedules)
    pages = [browser.get(address) for address in addresses]
    for answer in (*pages, Client().get("/login/")):
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


def test_borders_of_controls_have_a_contrast_of_3_to_1() -> None:
    """WCAG 1.4.11, on cards and on the ground, in both themes."""
    blocks = re.findall(r"\{([^{}]*--edge:[^{}]*)\}", (STATIC / "tokens.css").read_text())
    assert len(blocks) == 3
    for block in blocks:
        token = dict(re.findall(r"--(\w+): (#\w+);", block))
        for ground in ("card", "bg"):
            first, second = luminance(token["edge"]), luminance(token[ground])
            assert (max(first, second) + 0.05) / (min(first, second) + 0.05) >= 3, (token, ground)


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour like #abc or #aabbcc."""
    digits = colour.lstrip("#")
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    red, green, blue = (int(digits[start : start + 2], 16) / 255 for start in (0, 2, 4))
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (red, green, blue)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
