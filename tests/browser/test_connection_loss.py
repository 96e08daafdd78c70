"""Test the pages while a link is broken and after the session has ended."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import AXE_STYLES, violations_in_every_face
from tests.browser.conftest import WAIT_MS, Errors
from tests.browser.fleet import Fleet
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=WAIT_MS)
#: Limit for a link to be back, which includes the start of a process.
LONG_MS = 60_000


#: Errors that the browser logs itself while the server or the database is away.
AWAY = (
    "ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_RESET|ERR_EMPTY|503|ERR_TIMED_OUT"
)


@dataclass(frozen=True)
class Break:
    """How a link is broken and mended, and what the page then shows."""

    by: Callable[[Fleet], None]
    mend: Callable[[Fleet], object]
    light: str
    banner: str
    #: What turns grey.
    stale: str
    #: Headline while the link is back.
    back: str = ""


SERVER = ("Server away", "The server does not answer since", "main.stale", "The server answers")
DATABASE = (
    "Database away", "The database does not answer since", "main.stale", "The database answers",
)  # fmt: skip
COORDINATOR = (
    "No coordinator",
    "No coordinator answers since",
    ".no-coordinator .counter.pending",
    "The coordinator answers",
)
WORKER = ("1 worker silent", "1 of 2 workers silent since", ".worker.late")


def killing(name: str) -> Callable[[Fleet], None]:
    return lambda fleet: fleet.kill(name)


def freezing(name: str) -> Callable[[Fleet], None]:
    return lambda fleet: fleet.freeze(name)


def thawing(name: str) -> Callable[[Fleet], None]:
    return lambda fleet: fleet.thaw(name)


BREAKS = {
    "server killed": Break(killing("web"), Fleet.run_web, *SERVER),
    "server frozen": Break(freezing("web"), thawing("web"), *SERVER),
    "database killed": Break(
        lambda fleet: fleet.server.kill(), lambda fleet: fleet.server.start(), *DATABASE
    ),
    "database frozen": Break(
        lambda fleet: fleet.server.freeze(), lambda fleet: fleet.server.thaw(), *DATABASE
    ),
    "coordinator killed": Break(killing("coordinator"), Fleet.run_coordinator, *COORDINATOR),
    "coordinator frozen": Break(freezing("coordinator"), thawing("coordinator"), *COORDINATOR),
    "worker frozen": Break(freezing("worker-1"), thawing("worker-1"), *WORKER),
}
#: The others are tested in the long form.
_SHORT = ("server killed", "database killed", "worker frozen")


@pytest.mark.parametrize(
    "name",
    [name if name in _SHORT else pytest.param(name, marks=pytest.mark.long) for name in BREAKS],
)
def test_a_broken_link_is_shown_with_its_time_and_what_is_out_of_date_is_grey(
    name: str,
    page: Page,
    fleet: Fleet,
    errors: Errors,
    photograph: Callable[[Page, str], None],
) -> None:
    broken = BREAKS[name]
    errors.expected.append(AWAY)
    page.evaluate("window.neverReloaded = true")
    light, banner = page.locator(".light"), page.locator(".banner")
    expect(page.locator(".chain li.unknown")).to_have_count(0)
    began = time.monotonic()
    broken.by(fleet)
    try:
        expect(banner).to_have_text(re.compile(rf"{broken.banner} \d\d:\d\d:\d\d"))
        shown_s = time.monotonic() - began
        expect(light.locator("summary")).to_contain_text(broken.light)
        stale = page.locator(broken.stale).first
        expect(stale).to_be_visible()
        assert "grayscale" in stale.evaluate("element => getComputedStyle(element).filter")
        if broken.light == "No coordinator":
            card = page.locator(".coordinator")
            expect(card.locator(".mark")).to_have_text("silent")
            expect(card).to_contain_text(re.compile(r"last seen \d+ s ago"))
        light.locator("summary").click()
        photograph(page, f"status-{name.replace(' ', '-')}")
        light.locator("summary").click()
    finally:
        mended = time.monotonic()
        broken.mend(fleet)
    if broken.back:
        expect(banner).to_contain_text(f"{broken.back} again.", timeout=LONG_MS)
    expect(light).to_have_attribute("data-state", "live", timeout=LONG_MS)
    print(f"{name}: shown after {shown_s:.1f} s, live {time.monotonic() - mended:.1f} s later")
    fleet.run_missing()
    task = fleet.submit(name="examples.tasks.add", args=[1, 2])
    expect(page.locator(f"#task-{task} .mark")).to_have_text("complete", timeout=LONG_MS)
    assert page.evaluate("window.neverReloaded") is True


def test_a_killed_worker_leaves_the_page(page: Page, fleet: Fleet) -> None:
    worker = page.locator(".worker", has_text="worker-1")
    expect(worker).to_be_visible()
    fleet.kill("worker-1")
    expect(worker).to_be_hidden()
    expect(page.locator(".chain li").last).to_contain_text("1 of 1")


def test_a_change_during_an_outage_is_refused_with_the_reason(
    page: Page, fleet: Fleet, errors: Errors
) -> None:
    errors.expected.append(AWAY)
    fleet.server.freeze()
    try:
        expect(page.locator(".light summary")).to_contain_text("Database away")
        page.locator("#create-form [type=submit]").click()
        expect(page.locator(".toast")).to_contain_text("Nothing was changed.")
    finally:
        fleet.server.thaw()
    expect(page.locator(".light")).to_have_attribute("data-state", "live", timeout=LONG_MS)


def test_the_login_page_appears_when_the_session_has_ended(
    page: Page, fleet: Fleet, errors: Errors
) -> None:
    errors.expected.append("401|403|Failed to load resource")
    fleet.server.ask("DELETE FROM django_session")
    expect(page.locator("#id_username")).to_be_visible(timeout=60_000)
    expect(page).to_have_url(re.compile(r"/login/\?reason=session-ended&next=/"))


def test_a_button_leads_to_the_login_page_when_the_session_has_ended(
    page: Page, fleet: Fleet, errors: Errors
) -> None:
    errors.expected.append("401|403|Failed to load resource")
    fleet.server.ask("DELETE FROM django_session")
    page.locator("#create-form [type=submit]").click()
    expect(page.locator("#id_username")).to_be_visible()


def test_a_reload_during_an_outage_shows_a_styled_page_that_recovers(
    page: Page, fleet: Fleet, errors: Errors
) -> None:
    errors.expected += [AWAY, AXE_STYLES]
    fleet.server.kill()
    try:
        page.reload()
        expect(page.get_by_role("heading", name="Database unavailable")).to_be_visible()
        expect(page.get_by_role("link", name="Try again")).to_have_attribute("href", "")
        card = page.locator(".standalone .card")
        assert card.evaluate("card => getComputedStyle(card).borderRadius") == "10px"
        found = violations_in_every_face(page)
    finally:
        fleet.server.start()
    assert found == []

    def is_back() -> bool:
        page.reload()
        return page.locator(".light").count() > 0

    wait_until(is_back, "the dashboard is back")


def test_an_error_page_of_the_server_or_of_a_proxy_becomes_one_red_toast(
    page: Page, fleet: Fleet, errors: Errors
) -> None:
    errors.expected.append("Failed to load resource")
    page.route(
        re.compile("/drain/$"),
        lambda route: route.fulfill(
            status=502, content_type="text/html", body="<html><h1>Bad gateway</h1></html>"
        ),
    )
    page.locator(".worker").first.get_by_role("button", name="Drain", exact=True).click()
    expect(page.locator(".toast.failed")).to_have_text(re.compile("answered with error 502"))
    expect(page.locator(".toast")).to_have_count(1)
    expect(page.get_by_text("Bad gateway")).to_have_count(0)
    expect(page.get_by_role("heading", name="Dashboard", level=1)).to_be_attached()
