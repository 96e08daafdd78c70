"""Test the page of workers in a browser: live, with a filter in the address, on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import AXE_STYLES, violations
from tests.browser.conftest import WAIT_MS, Errors
from tests.browser.fleet import Fleet
from tests.browser.test_pages import LIVE

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=WAIT_MS)


def test_the_list_of_workers_is_live_and_its_address_holds_the_filter(
    page: Page, fleet: Fleet, errors: Errors, photograph: Callable[[Page, str], None]
) -> None:
    errors.expected.append(AXE_STYLES)
    [worker] = fleet.server.ask(
        "SELECT id FROM taskmaster_workers_worker WHERE name = 'worker-2' AND status = 'online'"
    )
    row = page.locator(f"#worker-{worker}")
    page.goto("/workers/")
    expect(page.locator(LIVE)).to_be_visible()
    expect(row.locator(".state")).to_have_text("online")
    coordinator = page.locator(".coordinator")
    expect(coordinator).to_contain_text("leads")
    expect(coordinator).to_contain_text("seen less than")

    row.get_by_role("button", name="Drain").click()
    expect(page.get_by_text("worker-2 is draining")).to_be_visible()
    expect(row.locator(".state")).to_have_text("offline")
    expect(row.locator(".remark")).to_have_text("drained")
    expect(page.locator("#summary")).to_contain_text("1 online")

    page.locator(".chips label", has_text="Online").click()
    expect(page).to_have_url(re.compile(r"/workers/\?status=online$"))
    expect(row).to_have_count(0)
    page.get_by_label("Worker pool").select_option("-")
    expect(page).to_have_url(re.compile(r"/workers/\?status=online&pool=-$"))
    page.reload()
    expect(page.get_by_label("Worker pool")).to_have_value("-")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.goto("/workers/?status=offline")
    expect(row).to_be_visible()

    page.goto("/workers/")
    for width in (1440, 820, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            expect(row).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert violations(page) == []
        photograph(page, f"workers-{width}")
