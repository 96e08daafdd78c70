"""Perform the five-minute demonstration in the browser only."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import WAIT_MS, log_in
from tests.browser.fleet import Fleet

pytestmark = pytest.mark.timeout(240)
expect.set_options(timeout=WAIT_MS)


def row(page: Page, task_id: int) -> Locator:
    return page.locator(f"#task-{task_id}")


def badge(page: Page, task_id: int) -> Locator:
    return row(page, task_id).locator(".mark")


def create(page: Page, count: int, seconds: int) -> list[int]:
    """Submit the form and return the ids from the confirmation."""
    form = page.locator("#create-form")
    form.locator("[name=name]").select_option("examples.tasks.count_down")
    form.locator("[name=count]").fill(str(count))
    form.locator("[name=arguments]").fill(f'{{"seconds": {seconds}}}')
    form.get_by_role("button", name=f"Create {count} tasks").click()
    toast = page.locator(".toast", has_text=f"Created {count} tasks").first
    expect(toast).to_be_visible()
    first, last = map(int, re.findall(r"\d+", toast.inner_text())[1:3])
    toast.get_by_role("button", name="Close").click()
    return list(range(first, last + 1))


def test_the_five_minute_demonstration(
    visitor: Page, fleet: Fleet, photograph: Callable[[Page, str], None]
) -> None:
    page = visitor
    page.goto("/")
    log_in(page)
    page.evaluate("window.neverReloaded = true")

    # Ten tasks: pending or running first, then complete.
    ids = create(page, 10, 4)
    expect(badge(page, ids[0])).to_have_text(re.compile("started"))
    expect(page.locator(".counter.running strong")).to_have_text("8")
    photograph(page, "dashboard")
    for task_id in ids:
        expect(badge(page, task_id)).to_have_text("complete")
    expect(page.locator(".log li.complete").first).to_be_visible()

    # A worker is killed: its tasks are rescued and run on the other worker.
    ids = create(page, 2, 60)
    for task_id in ids:
        expect(badge(page, task_id)).to_have_text("started")
    victim = row(page, ids[0]).locator("[data-label=Worker]").inner_text()
    page.locator(".worker", has_text=victim).get_by_role("button", name="Kill").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("kill -9")
    question.get_by_role("button", name=f"Kill {victim}").click()
    expect(page.locator(".log li", has_text=f"{victim} was lost; attempt 2 of 3")).to_be_visible()
    expect(page.locator(".worker", has_text=victim)).to_have_count(0)
    expect(row(page, ids[0])).to_contain_text("2 of 3")
    expect(badge(page, ids[0])).to_have_text("started")
    assert row(page, ids[0]).locator("[data-label=Worker]").inner_text() != victim
    assert page.evaluate("window.neverReloaded") is True

    # The task's console shows output as it arrives.
    row(page, ids[0]).get_by_role("link").click()
    screen = page.locator("#console .screen")
    expect(screen).to_contain_text(re.compile(r"attempt 2: \d+ s left"))
    left = int(re.findall(r"attempt 2: (\d+) s left", screen.inner_text())[-1])
    expect(screen).to_contain_text(f"attempt 2: {left - 1} s left")
    photograph(page, "task")

    # Cancelling a running task asks for confirmation.
    page.evaluate("window.neverReloaded = true")
    page.locator("#cancel").click()
    page.get_by_role("dialog").get_by_role("button", name=f"Cancel task {ids[0]}").click()
    expect(page.locator("#task-head .mark")).to_have_text("cancelled")
    expect(page.locator("#retry")).to_be_visible()
    assert page.evaluate("window.neverReloaded") is True
    fleet.wait_for_status(ids[0], "cancelled")
