"""Provide a browser, and a fleet whose pages it shows."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.browser.fleet import PASSWORD, USER, Fleet, running_fleet
from tests.system.server import Server, running_server

_SANDBOX = ["--no-sandbox"] if hasattr(os, "geteuid") and not os.geteuid() else []
_FLAGS = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
#: Long, because the machine may be busy with other tests.
WAIT_MS = 30_000
#: Waits until the browser has painted a change of the theme.
_PAINTED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
#: The environment variable of the folder for screenshots.
FOLDER = "TASKMASTER_SCREENSHOTS"


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=[*_SANDBOX, *_FLAGS])


@pytest.fixture(scope="package")
def _server(browser: Browser) -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="package")
def _fleet(_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with running_fleet(tmp_path_factory.mktemp("fleet"), _server) as fleet:
        yield fleet


@pytest.fixture
def fleet(_fleet: Fleet) -> Fleet:
    """Return the fleet with all its processes running."""
    _fleet.run_missing()
    return _fleet


class Errors(list[str]):
    """Collect errors from the browser's console, except those that a test expects."""

    def __init__(self) -> None:
        super().__init__()
        self.expected: list[str] = []

    def check(self) -> None:
        """Raise AssertionError if there were unexpected errors."""
        left = [each for each in self if not any(re.search(one, each) for one in self.expected)]
        assert left == []


@pytest.fixture
def errors() -> Iterator[Errors]:
    found = Errors()
    yield found
    found.check()


@pytest.fixture
def visitor(browser: Browser, fleet: Fleet, errors: Errors) -> Iterator[Page]:
    """Open a page without a login."""
    context = browser.new_context(
        base_url=fleet.url, viewport={"width": 1440, "height": 1000}, color_scheme="light"
    )
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()

    def record(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(f"{message.text} {message.location.get('url', '')}")

    page.on("console", record)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()


@pytest.fixture
def page(visitor: Page) -> Page:
    """Open the dashboard as a superuser."""
    visitor.goto("/")
    log_in(visitor)
    return visitor


def log_in(page: Page) -> None:
    """Log in at the current login page, and wait until the dashboard is live."""
    page.fill("#id_username", USER)
    page.fill("#id_password", PASSWORD)
    page.click("[type=submit]")
    page.wait_for_selector(".light[data-state=live]")


@pytest.fixture(scope="session")
def photograph() -> Callable[[Page, str], None]:
    """Save screenshots of the page in both themes, if a folder for them is set."""
    folder = os.environ.get(FOLDER)

    def take(page: Page, name: str) -> None:
        if not folder:
            return
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            page.evaluate(_PAINTED)
            page.screenshot(path=Path(folder) / f"{name}-{scheme}.png", full_page=True)

    return take
