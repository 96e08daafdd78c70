"""Test the pages of schedules in a browser: preview, run, back-fill, pause, keyboard, axe."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.axe import AXE_STYLES, violations_in_every_face
from tests.browser.conftest import WAIT_MS, Errors
from tests.browser.fleet import Fleet
from tests.browser.test_pages import LIVE

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=WAIT_MS)

NAME = "weekly-report"


def test_a_schedule_is_created_with_a_preview_run_back_filled_paused_and_resumed(
    page: Page, fleet: Fleet, errors: Errors, photograph: Callable[[Page, str], None]
) -> None:
    errors.expected.append(AXE_STYLES)
    found = []

    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page).to_have_url(re.compile(r"/schedules/$"))
    page.get_by_role("link", name="New schedule").click()
    preview = page.locator("#preview")
    expect(preview).to_contain_text("Type when it is due")
    page.get_by_label("Name", exact=True).fill(NAME)
    page.get_by_label("Task", exact=True).fill("examples.tasks.add")
    page.get_by_label("Arguments (JSON list)").fill("[1, 2]")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    # The preview follows while one types.
    cron = page.get_by_label("Cron expression")
    cron.fill("30 2 * *")
    expect(preview).to_contain_text("cron")
    cron.fill("")
    cron.press_sequentially("30 2 * * sun")
    expect(preview).to_contain_text("On Sundays at 02:30")
    expect(preview).to_contain_text("clocks go forward")
    found += violations_in_every_face(page)
    photograph(page, "schedule-form")
    page.locator("#trigger label", has_text="Interval").click()
    expect(cron).to_be_hidden()
    page.get_by_label("Every", exact=True).fill("5")
    page.get_by_label("Unit of the interval").select_option("60")
    expect(preview).to_contain_text("Every 5 minutes")
    page.locator("#trigger label", has_text="Cron").click()
    expect(preview).to_contain_text("On Sundays at 02:30")
    # A field that is corrected shows no error of its old value.
    errors.expected.append("status of 422")
    task = page.get_by_label("Task", exact=True)
    task.fill("examples.tasks.ad")
    task.press("Enter")
    error = page.locator(".field", has=task).locator(".error")
    expect(error).to_contain_text("'examples.tasks.ad' is not a registered task")
    task.fill("examples.tasks.add")
    expect(error).to_be_empty()
    cron.press("Enter")

    expect(page).to_have_url(re.compile(r"/schedules/\d+/$"))
    expect(page.locator(LIVE)).to_be_visible()
    head = page.locator("#schedule-head")
    expect(head).to_contain_text("On Sundays at 02:30, Europe/Berlin.")

    # Run it now: the page shows the run when its task has ended, without a reload.
    page.get_by_role("button", name="Run now…").click()
    page.get_by_role("dialog").get_by_role("button", name="Run now").click()
    expect(page.get_by_text(f"{NAME} runs now: task")).to_be_visible()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator(".history li")).to_contain_text("complete")
    expect(page.locator(".history li")).to_contain_text("manual by ada")

    # Back-fill a range: the dialog counts its due times, then the page shows the progress.
    page.get_by_role("button", name="Back-fill…").click()
    page.get_by_label("From", exact=True).fill("2026-01-01T00:00")
    page.get_by_label("To", exact=True).fill("2026-01-14T00:00")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("2 due times, from Sun 04 Jan 02:30 to Sun 11 Jan 02:30.")
    found += violations_in_every_face(page, "#backfill")
    # The button has the number of runs. It is disabled while those of another range are counted.
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/backfill/preview/", hold)
    with page.expect_request("**/backfill/preview/"):
        page.get_by_label("To", exact=True).fill("2026-01-21T00:00")
    expect(dialog.get_by_role("button", name="Create 2 runs")).to_be_disabled()
    held.pop().continue_()
    dialog.get_by_role("button", name="Create 3 runs").click()
    expect(dialog).to_be_hidden()
    expect(page.locator(".backfills li")).to_contain_text("3 of 3 runs created")
    expect(page.locator(".backfills .mark")).to_have_text("complete")
    expect(page.locator(".history li", has_text="back-fill by ada")).to_have_count(3)

    # Pause it with the keyboard alone: the reason has the focus, Escape keeps everything.
    pause = page.get_by_role("button", name="Pause…")
    pause.focus()
    page.keyboard.press("Enter")
    reason = page.get_by_role("dialog").get_by_label("Why? Everyone sees this")
    expect(reason).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(pause).to_be_focused()
    page.keyboard.press("Enter")
    found += violations_in_every_face(page, "#pause")
    page.keyboard.type("The tax rates change.")
    page.keyboard.press("Enter")
    expect(page.locator(".answer")).to_contain_text("It is paused: “The tax rates change.”")
    expect(head.locator(".mark")).to_have_text("paused")
    found += violations_in_every_face(page)
    photograph(page, "schedule")

    page.goto("/schedules/")
    expect(page.locator(LIVE)).to_be_visible()
    row = page.locator("tbody tr", has_text=NAME).first
    expect(row.locator(".state")).to_have_text("paused")
    found += violations_in_every_face(page)
    photograph(page, "schedules")
    row.get_by_role("button", name="Resume").click()
    expect(row.locator(".state")).to_have_text("on time")
    expect(page.locator("#summary")).to_contain_text("on time")
    page.get_by_label("Find a schedule").fill("no such")
    expect(page).to_have_url(re.compile(r"\?q=no\+such$"))
    expect(page.get_by_text("No schedule matches.")).to_be_visible()
    assert found == []
