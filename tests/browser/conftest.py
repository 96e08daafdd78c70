"""A browser, and the fleet that it looks at."""

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
#: Generous: the machine may be busy with other tests.
WAIT_MS = 30_000
#: Until what a change of the theme has changed is on the screen.
_PAINTED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
#: Where screenshots are kept, for whoever wants to look at them.
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
    """All of it runs."""
    _fleet.run_missing()
    return _fleet


class Errors(list[str]):
    """What the browser's console said that is an error, but for what a test expects."""

    def __init__(self) -> None:
        super().__init__()
        self.expected: list[str] = []

    def check(self) -> None:
        """Raises AssertionError when there were others."""
        left = [each for each in self if not any(re.search(one, each) for one in self.expected)]
        assert left == []


@pytest.fixture
def errors() -> Iterator[Errors]:
    found = Errors()
    yield found
    found.check()


@pytest.fixture
def visitor(browser: Browser, fleet: Fleet, errors: Errors) -> Iterator[Page]:
    """A page of somebody who is not logged in."""
    context = browser.new_context(
        base_url=fleet.url, viewport={"width": 1440, "height": 1000}, color_scheme="light"
    )
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(f"{message.text} {message.location.get('url', '')}")

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()


@pytest.fixture
def page(visitor: Page) -> Page:
    """The dashboard of somebody who may do everything."""
    visitor.goto("/")
    log_in(visitor)
    return visitor


def log_in(page: Page) -> None:
    """Fills the login page that is shown, and waits until the dashboard is live."""
    page.fill("#id_username", USER)
    page.fill("#id_password", PASSWORD)
    page.click("[type=submit]")
    page.wait_for_selector(".live[data-state=live]")


@pytest.fixture(scope="session")
def photograph() -> Callable[[Page, str], None]:
    """Keeps a picture of the page in both themes, if a folder for them is named."""
    folder = os.environ.get(FOLDER)

    def take(page: Page, name: str) -> None:
        if not folder:
            return
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            page.evaluate(_PAINTED)
            page.screenshot(path=Path(folder) / f"{name}-{scheme}.png", full_page=True)

    return take
