"""What the pages do when they are cut off, and when the session ends."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import WAIT_MS, Errors
from tests.browser.fleet import Fleet

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=WAIT_MS)


def test_a_page_that_is_cut_off_says_so_and_repairs_itself(
    page: Page, fleet: Fleet, errors: Errors
) -> None:
    # The browser itself says that nobody answers.
    errors.expected.append(
        "ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_RESET|ERR_EMPTY"
    )
    page.evaluate("window.neverReloaded = true")
    fleet.kill("web")
    banner = page.locator(".banner")
    expect(banner).to_have_text(re.compile(r"Reconnecting… since \d\d:\d\d:\d\d"))
    expect(page.locator("body")).to_have_class(re.compile("cut-off"))
    fleet.run_web()
    expect(banner).to_be_hidden()
    task = fleet.submit(name="examples.tasks.add", args=[1, 2])
    expect(page.locator(f"#task-{task} .mark")).to_have_text("complete")
    assert page.evaluate("window.neverReloaded") is True


def test_the_login_page_comes_when_the_session_has_ended(
    page: Page, fleet: Fleet, errors: Errors
) -> None:
    errors.expected.append("401|403|Failed to load resource")
    fleet.server.ask("DELETE FROM django_session")
    expect(page.locator("#id_username")).to_be_visible(timeout=60_000)
    expect(page).to_have_url(re.compile(r"/admin/login/\?next=/"))


def test_a_button_pressed_after_the_session_has_ended_leads_to_the_login_page(
    page: Page, fleet: Fleet, errors: Errors
) -> None:
    errors.expected.append("401|403|Failed to load resource")
    fleet.server.ask("DELETE FROM django_session")
    page.locator("#create-form [type=submit]").click()
    expect(page.locator("#id_username")).to_be_visible()
