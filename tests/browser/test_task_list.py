"""Test the list of tasks in a browser: its address, its live rows, and a phone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import AXE_STYLES, violations
from tests.browser.conftest import WAIT_MS, Errors
from tests.browser.fleet import Fleet
from tests.browser.test_pages import LIVE

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=WAIT_MS)

QUEUE = "list-of-tasks"
LONG = "x" * 200


def test_the_list_keeps_its_filter_updates_its_rows_and_fits_a_phone(
    page: Page, fleet: Fleet, errors: Errors
) -> None:
    errors.expected.append(AXE_STYLES)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    other = fleet.submit(name="examples.tasks.add", args=[1, 2])
    failing = fleet.submit(
        name="examples.tasks.fail", args=[f"<b>{LONG}"], queue=QUEUE, max_attempts=1,
        scheduled_at=later,
    )  # fmt: skip
    page.get_by_role("link", name="Tasks", exact=True).click()
    expect(page.locator(LIVE)).to_be_visible()
    expect(page.locator(f"#task-{other}")).to_be_visible()

    # The address holds the filter, and another filter adds to it.
    page.get_by_role("combobox", name="Queue").fill(QUEUE)
    page.keyboard.press("Enter")
    expect(page.locator(f"#task-{other}")).to_have_count(0)
    expect(page).to_have_url(re.compile(rf"/tasks/\?queue={QUEUE}$"))
    page.reload()
    expect(page.locator(LIVE)).to_be_visible()
    row = page.locator(f"#task-{failing}")
    expect(row.locator(".mark")).to_have_text("pending")
    expect(page.locator("#tasks tbody tr")).to_have_count(1)

    # A new row appears at the top; the other row changes in place.
    row.evaluate("row => { row.isTheSame = true; }")
    newest = fleet.submit(name="examples.tasks.add", args=[1, 2], queue=QUEUE)
    expect(page.locator("#tasks tbody tr").first).to_have_id(f"task-{newest}")
    fleet.post("/api/operations/", {"action": "run_now", "ids": [failing]})
    expect(row.locator(".mark")).to_have_text("failed")
    expect(row.locator(".error-cell code")).to_have_text("RuntimeError")
    expect(row.locator(".error-cell span")).to_contain_text(f"<b>{LONG}"[:200])
    assert row.evaluate("row => row.isTheSame")
    page.get_by_role("radio", name="Failed").check()
    expect(page.locator(f"#task-{newest}")).to_have_count(0)
    expect(page).to_have_url(re.compile(rf"\?status=failed&queue={QUEUE}$"))

    # Rows are cards on a phone.
    page.set_viewport_size({"width": 390, "height": 844})
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.reload()
        expect(page.locator(LIVE)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert row.evaluate("row => getComputedStyle(row).display") == "grid"
        assert violations(page) == []
    page.set_viewport_size({"width": 1440, "height": 1000})
    assert violations(page) == []

    # A click anywhere in a row opens it.
    row.locator(".error-cell").click()
    expect(page).to_have_url(re.compile(rf"/tasks/{failing}/$"))
