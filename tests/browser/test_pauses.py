"""Test in a browser that a queue and everything are paused and resumed on the dashboard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import AXE_STYLES, violations_in_every_face
from tests.browser.conftest import WAIT_MS, Errors
from tests.browser.fleet import Fleet

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=WAIT_MS)

QUEUE = "paused-mail"
ADD = {"name": "examples.tasks.add", "args": [1, 2]}


def test_a_queue_and_everything_are_paused_and_resumed_with_a_reason(
    page: Page, fleet: Fleet, errors: Errors, photograph: Callable[[Page, str], None]
) -> None:
    errors.expected.append(AXE_STYLES)
    found = []
    far = fleet.submit(**ADD, queue=QUEUE, scheduled_at="2090-01-01T00:00:00Z")
    row = page.locator(".depths li", has_text=QUEUE)
    row.get_by_text("Pause…").click()
    reason = row.get_by_label("Everyone sees this")
    reason.fill("The mail server moves.")
    reason.press("Enter")
    expect(row.locator(".mark")).to_have_text("paused")
    expect(row).to_contain_text("paused by ada ")
    expect(row).to_contain_text("“The mail server moves.”")
    waiting = fleet.submit(**ADD, queue=QUEUE)
    other = fleet.submit(**ADD)
    fleet.wait_for_status(other, "complete")
    assert fleet.status(waiting) == "pending"

    page.get_by_role("button", name="Pause everything…").click()
    dialog = page.get_by_role("dialog")
    found += violations_in_every_face(page, "#pause-everything")
    dialog.get_by_label("Why? Everyone sees this").fill("power cut")
    dialog.get_by_role("button", name="Pause everything").click()
    expect(dialog).to_be_hidden()
    banner = page.locator(".pause-banner")
    expect(banner).to_contain_text("Everything is paused by ada ")
    expect(banner).to_contain_text("“power cut”")
    for part in (".pause-banner", "#queues"):
        found += violations_in_every_face(page, part)
    photograph(page, "pauses")
    page.goto(f"/tasks/{far}/")
    expect(banner).to_contain_text("“power cut”")
    expect(page.locator(".gates li").first).to_contain_text("It is paused")
    banner.get_by_role("link", name="Queues").click()
    page.get_by_role("button", name="Resume everything").click()
    expect(banner).to_be_hidden()
    assert fleet.status(waiting) == "pending"
    row.get_by_role("button", name="Resume").click()
    expect(row.locator(".mark")).to_have_count(0)
    fleet.wait_for_status(waiting, "complete")
    assert found == []
