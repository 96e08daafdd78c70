"""Test that every page is accessible in each of its states: light, dark and on a phone."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.hashers import make_password
from playwright.sync_api import Browser, Page, expect

from tests.browser.axe import AXE_STYLES, violations_in_every_face
from tests.browser.conftest import WAIT_MS, Errors
from tests.browser.fleet import PASSWORD, Fleet

pytestmark = pytest.mark.timeout(300)
expect.set_options(timeout=WAIT_MS)

LIVE = ".light[data-state=live]"
#: Live pages. The names in braces are tasks in that state. A new page gets a line here.
LIVE_PAGES = [
    "/",
    "/?status=failed&queue=default",
    "/?q=no-such-task",
    "/schedules/",
    "/tasks/{failed}/",
    "/tasks/{complete}/",
    "/tasks/{started}/",
    "/tasks/{scheduled}/",
]
#: Pages without a stream. Django's own forms are not ours.
PLAIN_PAGES = [
    "/nowhere/",
    "/admin/taskmaster_tasks/task/",
    "/admin/taskmaster_tasks/task/{failed}/change/",
    "/admin/taskmaster_tasks/task/create-many/",
    "/admin/taskmaster_tasks/operation/",
    "/admin/taskmaster_tasks/event/",
    "/admin/taskmaster_tasks/schedule/",
    "/admin/taskmaster_workers/worker/",
    "/admin/taskmaster_workers/workerpool/",
    "/admin/taskmaster_workers/jointoken/",
    "/admin/taskmaster_coordinator/coordinator/",
]
#: Errors that the browser logs itself.
STATUS = "Failed to load resource"


@pytest.fixture
def tasks(fleet: Fleet) -> dict[str, int]:
    """Return a task in each state."""
    ids = {
        "failed": fleet.submit(name="examples.tasks.fail", max_attempts=1, tags=["nightly"]),
        "complete": fleet.submit(command="seq 3"),
        "started": fleet.submit(name="examples.tasks.wait", args=[60]),
        "scheduled": fleet.submit(command="true", scheduled_at="2099-01-01T00:00:00Z"),
    }
    for state in ("failed", "complete", "started"):
        fleet.wait_for_status(ids[state], state)
    return ids


def test_every_page_is_accessible(
    page: Page, fleet: Fleet, tasks: dict[str, int], errors: Errors
) -> None:
    errors.expected += [AXE_STYLES, STATUS]
    found = []
    for address in (*LIVE_PAGES, *PLAIN_PAGES):
        page.goto(address.format(**tasks))
        if address in LIVE_PAGES:
            expect(page.locator(LIVE)).to_be_visible()
        found += violations_in_every_face(page)
    fleet.post(f"/api/tasks/{tasks['started']}/cancel/", {})
    assert found == []


def test_every_dialog_menu_and_message_is_accessible(
    page: Page, fleet: Fleet, errors: Errors
) -> None:
    errors.expected.append(AXE_STYLES)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Keyboard shortcuts")
    found = violations_in_every_face(page, "#keys")
    page.keyboard.press("Escape")
    for menu in ("details.light", "details.menu:not(.light)"):
        page.locator(menu).locator("summary").click()
        found += violations_in_every_face(page, menu)
        page.locator(menu).locator("summary").click()
    form = page.locator("#create-form")
    form.locator("[name=count]").fill("1001")
    form.locator("[type=submit]").click()
    expect(form.locator("#id_count_error")).to_contain_text("must be from 1")
    found += violations_in_every_face(page, "#create-form")
    form.locator("[name=count]").fill("1")
    form.locator("[type=submit]").click()
    expect(page.locator(".toast.complete")).to_be_visible()
    found += violations_in_every_face(page, "#toasts")
    page.locator(".worker").first.get_by_role("button", name="Kill").click()
    expect(page.get_by_role("dialog")).to_contain_text("as after kill -9")
    found += violations_in_every_face(page, "#confirm")
    page.get_by_role("button", name="Keep").click()
    assert found == []


def test_users_without_staff_status_log_in_and_see_what_their_role_permits(
    browser: Browser, visitor: Page, fleet: Fleet, errors: Errors
) -> None:
    errors.expected += [AXE_STYLES, STATUS]
    add_user(fleet, "vera", "TaskMaster viewer")
    add_user(fleet, "norma", None)
    visitor.goto("/?status=failed")
    found = violations_in_every_face(visitor)
    expect(visitor.locator(".login-message")).to_have_text("Log in to open the dashboard.")
    expect(visitor.get_by_label("Username")).to_be_focused()
    fill(visitor, "vera", "wrong")
    expect(visitor.get_by_role("alert")).to_contain_text("User name or password is wrong.")
    expect(visitor.get_by_label("Username")).to_have_value("vera")
    expect(visitor.get_by_label("Password", exact=True)).to_be_focused()
    found += violations_in_every_face(visitor)
    password = visitor.get_by_label("Password", exact=True)
    password.fill(PASSWORD)
    visitor.get_by_role("button", name="Show password").click()
    expect(password).to_have_attribute("type", "text")
    visitor.get_by_role("button", name="Log in").click()
    expect(visitor).to_have_url(re.compile(r"/\?status=failed$"))
    expect(visitor.locator(LIVE)).to_be_visible()
    expect(visitor.locator("#create-form")).to_have_count(0)
    found += violations_in_every_face(visitor)
    visitor.locator("details.menu:not(.light) summary").click()
    visitor.get_by_role("button", name="Log out").click()
    expect(visitor.locator(".login-message")).to_have_text("You have logged out.")
    fill(visitor, "norma", PASSWORD)
    expect(visitor.get_by_role("heading", name="Permission denied")).to_be_visible()
    expect(visitor.locator(".message")).to_contain_text("TaskMaster viewer")
    found += violations_in_every_face(visitor)
    visitor.goto("/admin/")
    expect(visitor.locator("#login-form")).to_be_visible()
    shown = visitor.locator(".top > *").filter(visible=True)
    expect(shown).to_have_count(2)
    expect(shown.first).to_have_text("TaskMaster")
    assert found == []


def add_user(fleet: Fleet, name: str, role: str | None) -> None:
    """Create a user in the group of a role."""
    fleet.server.ask(
        "INSERT INTO auth_user (username, password, is_superuser, is_staff, is_active, "
        "first_name, last_name, email, date_joined) "
        "VALUES (%s, %s, false, false, true, '', '', '', now())",
        name,
        make_password(PASSWORD),
    )
    fleet.server.ask(
        "INSERT INTO auth_user_groups (user_id, group_id) SELECT u.id, g.id "
        "FROM auth_user AS u, auth_group AS g WHERE u.username = %s AND g.name = %s",
        name,
        role,
    )


def fill(page: Page, name: str, password: str) -> None:
    """Fill and send the form of the login page."""
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Log in").click()
