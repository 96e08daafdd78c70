"""Take the README's screenshots of the running product: `make screenshots`.

Runs the demo on its own database, submits tasks and takes screenshots in a browser. Needs Debian's
`chromium`.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from playwright.sync_api import Page, ViewportSize, sync_playwright

from taskmaster.taskmaster_site.embedded_postgres.server import EmbeddedPostgres

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
_SIZE: ViewportSize = {"width": 1280, "height": 900}
_PHONE: ViewportSize = {"width": 390, "height": 844}
#: Time for the first push to arrive and the console to show a few lines.
_SETTLE_MS = 2_500
#: How long the demo works before the screenshots, so that the charts have data.
_WORK_S = 240
_BERLIN = ZoneInfo("Europe/Berlin")
#: Number of past nights for which the nightly report runs.
_NIGHTS = 30
#: Schedules beside those that the demo declares: name and fields.
_SCHEDULES: dict[str, dict[str, Any]] = {
    "stock-sync": {
        "task": "examples.tasks.add", "args": [20, 22], "interval_s": 5, "timezone": "Europe/Berlin"
    },
    "partner-feed": {
        "task": "examples.tasks.fail", "args": ["the partner does not answer"], "interval_s": 60,
        "timezone": "America/New_York", "max_attempts": 1,
    },
    "invoice-run": {
        "task": "examples.tasks.count_down", "cron": "0 3 1 * *", "timezone": "Europe/Berlin"
    },
    "year-end": {"task": "examples.tasks.wait", "cron": "@yearly", "timezone": "UTC"},
}  # fmt: skip
_BROKEN = {"name": "examples.tasks.fail", "max_attempts": 1}
_SANDBOX = ["--no-sandbox", "--disable-gpu"] if hasattr(os, "geteuid") and not os.geteuid() else []


class Demo:
    """A running demo: its URL and password."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.password = ""
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("password: "):
                self.password = line.split()[1]
            if line.startswith("Ctrl+C"):
                return
        raise SystemExit("The demo did not start.")

    def call(self, path: str, body: dict[str, Any] | None = None, token: str = "") -> Any:
        """Call the REST API."""
        request = urllib.request.Request(self.url + path)
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Token {token}")
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(request, data, timeout=10) as answer:
            return json.load(answer)


@contextmanager
def running_demo() -> Iterator[Demo]:
    """Run the demo on a free port; stop it at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    cluster = EmbeddedPostgres(ROOT / ".data" / "screenshots-postgres")
    process = subprocess.Popen(
        [sys.executable, "-m", "taskmaster.taskmaster_site.demo.main"],
        cwd=ROOT,
        env={**os.environ, "PORT": str(port), "DATABASE_URL": cluster.start()},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Demo(process, port)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        cluster.remove()


def log_in(demo: Demo) -> str:
    """Return a token of the demo's user."""
    answer = demo.call("/api/token/", {"username": "admin", "password": demo.password})
    return str(answer["token"])


def create_schedules(demo: Demo, token: str) -> int:
    """Create schedules in several states, and runs of past nights; return the id of their schedule.

    The nightly report is one of the schedules that the demo declares.
    """
    ids = {
        name: demo.call("/api/schedules/", {"name": name, **fields}, token)["id"]
        for name, fields in _SCHEDULES.items()
    }
    reason = {"reason": "Waits for the new tax rates."}
    demo.call(f"/api/schedules/{ids['invoice-run']}/pause/", reason, token)
    listed = demo.call("/api/schedules/?name=nightly-report", token=token)["results"]
    [nightly] = [int(each["id"]) for each in listed]
    today = datetime.now(_BERLIN).replace(hour=2, minute=30, second=0, microsecond=0)
    for days in range(_NIGHTS, 0, -1):
        due_at = (today - timedelta(days=days)).isoformat()
        demo.call(f"/api/schedules/{nightly}/run/", {"due_at": due_at}, token)
    return nightly


def submit_tasks(demo: Demo, token: str) -> int:
    """Submit ordinary traffic, then tasks of every kind; return the id of a task with output."""
    files = sorted(str(path) for path in (ROOT / "tasks").rglob("*.py"))
    for second in range(_WORK_S):
        count = 12 + round(8 * math.sin(second / 17))
        checksums = [
            {"name": "examples.tasks.checksum", "args": [path], "tags": ["nightly"]}
            for path in itertools.islice(itertools.cycle(files), second, second + count)
        ]
        demo.call("/api/tasks/bulk/", {"tasks": checksums}, token)
        demo.call("/api/tasks/", {"name": "examples.tasks.wait", "args": [0.2]}, token)
        if second % 40 == 20:
            demo.call("/api/tasks/", {**_BROKEN, "args": ["the file is not there"]}, token)
        time.sleep(1)
    work: list[dict[str, Any]] = [
        *({"name": "examples.tasks.count_down", "kwargs": {"seconds": 90}} for _ in range(4)),
        {"command": "sleep 90 && pg_dump --version", "tags": ["backup"]},
        {"command": "seq 12 | sort -r | nl"},
        {**_BROKEN, "args": ["no such invoice"]},
        *({"name": "examples.tasks.add", "args": [20, 22], "queue": "reports"} for _ in range(3)),
        *({"name": "examples.tasks.wait", "args": [60], "queue": "mail"} for _ in range(6)),
    ]
    for task in work:
        demo.call("/api/tasks/", task, token)
    for _ in range(3):
        later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3_600))
        task = {"name": "examples.tasks.checksum", "args": [files[0]], "scheduled_at": later}
        demo.call("/api/tasks/", task, token)
    printing = demo.call("/api/tasks/?name=examples.tasks.count_down", token=token)["results"]
    # Heartbeats report the number of busy slots, so wait for them.
    deadline = time.monotonic() + 20
    while not any(worker["busy"] for worker in demo.call("/api/workers/", token=token)["results"]):
        if time.monotonic() > deadline:
            raise SystemExit("No worker became busy.")
        time.sleep(0.2)
    return int(printing[0]["id"])


def take_screenshots(demo: Demo, watched: int, schedule: int) -> None:
    """Take the pages in the light theme, and some in the dark theme and on a phone."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=_SANDBOX
        )
        page = browser.new_page(viewport=_SIZE, color_scheme="light", base_url=demo.url)
        page.goto("/")
        page.fill("#id_username", "admin")
        page.fill("#id_password", demo.password)
        page.click("[type=submit]")
        _take(page, "/", "dashboard")
        _take(page, f"/tasks/{watched}/", "task")
        _take(page, "/admin/taskmaster_tasks/task/", "admin-tasks")
        _take(page, "/schedules/", "schedules")
        _take(page, f"/schedules/{schedule}/", "schedule")
        _take_form(page)
        page.emulate_media(color_scheme="dark")
        _take(page, "/", "dashboard-dark")
        _take(page, f"/tasks/{watched}/", "task-dark")
        page.set_viewport_size(_PHONE)
        _take(page, "/", "phone")
        browser.close()


def _take(page: Page, path: str, name: str) -> None:
    page.goto(path)
    if "/admin/" not in path:
        page.wait_for_selector(".light[data-state=live]")
    # Streams stay open, so the network never becomes idle.
    page.wait_for_timeout(_SETTLE_MS)
    page.screenshot(path=IMAGES / f"{name}.png")
    print(f"docs/images/{name}.png")


def _take_form(page: Page) -> None:
    """Fill in the form of a schedule, whose preview shows a change of the clocks."""
    page.goto("/schedules/new/")
    page.fill("[name=name]", "partner-export")
    page.fill("[name=task]", "examples.tasks.checksum")
    page.fill("[name=args]", '["/var/data/partners.csv"]')
    page.fill("[name=timezone]", "Europe/Berlin")
    page.fill("[name=cron]", "30 2 * * sun")
    page.wait_for_selector("#preview .clock")
    page.screenshot(path=IMAGES / "schedule-form.png")
    print("docs/images/schedule-form.png")


def main() -> None:
    """Run the demo and take all screenshots."""
    if shutil.which("chromium") is None:
        raise SystemExit("Screenshots need a browser; on Debian: apt-get install chromium")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with running_demo() as demo:
        token = log_in(demo)
        schedule = create_schedules(demo, token)
        take_screenshots(demo, submit_tasks(demo, token), schedule)


if __name__ == "__main__":
    main()
