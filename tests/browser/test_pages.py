"""Test the pages in a browser: phones, escaping, and use with the keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import WAIT_MS
from tests.browser.fleet import Fleet

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=WAIT_MS)

LIVE = ".light[data-state=live]"
#: Keeps the place of each text that a chart shows.
RECORD_LABELS = """
window.labels = [];
const { fillText, clearRect } = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.clearRect = function (...area) {
  window.labels = window.labels.filter((each) => each.canvas !== this.canvas);
  clearRect.apply(this, area);
};
CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...rest) {
  const { width, fontBoundingBoxAscent: up, fontBoundingBoxDescent: down } = this.measureText(text);
  const { a, d, e, f } = this.getTransform();
  const left = x - ({ left: 0, start: 0, center: width / 2 }[this.textAlign] ?? width);
  window.labels.push({
    canvas: this.canvas, text, left: a * left + e, right: a * (left + width) + e,
    top: d * (y - up) + f, bottom: d * (y + down) + f,
  });
  fillText.call(this, text, x, y, ...rest);
};
"""
OVERLAPPING = """() => window.labels.flatMap((one) => window.labels
  .filter((other) => other.canvas === one.canvas && other !== one
    && other.left < one.right && one.left < other.right
    && other.top < one.bottom && one.top < other.bottom)
  .map((other) => `${one.text} / ${other.text}`))"""
HOSTILE = (
    "<img src=x onerror=alert(1)><script>alert(2)</script> {{ 7|add:1 }} {% now 'Y' %} ${3*3} &amp;"
)


def test_no_page_logs_an_error_to_the_console(page: Page, fleet: Fleet) -> None:
    task = fleet.submit(command="seq 3", max_attempts=1)
    fleet.wait_for_status(task, "complete")
    for address in (
        "/", "/tasks/", f"/tasks/{task}/", "/admin/", "/admin/taskmaster_tasks/task/",
        "/admin/taskmaster_tasks/task/add/", f"/admin/taskmaster_tasks/task/{task}/change/",
        "/admin/taskmaster_workers/worker/", "/admin/auth/user/",
        "/api/docs/", "/admin/password_change/",
    ):  # fmt: skip
        page.goto(address)
        page.wait_for_load_state("load")
        expect(page.locator("body")).to_be_visible()


def test_every_control_is_reachable_on_a_phone(
    page: Page, fleet: Fleet, photograph: Callable[[Page, str], None]
) -> None:
    task = fleet.submit(name="examples.tasks.add", args=[1, 2])
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator(f"#task-{task} .mark")).to_have_text("complete")
    for address in ("/", f"/tasks/{task}/"):
        page.goto(address)
        expect(page.locator(LIVE)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert violations(page) == []
        photograph(page, "phone-task" if "tasks" in address else "phone-dashboard")


def test_names_and_output_with_markup_are_shown_as_text(page: Page, fleet: Fleet) -> None:
    page.on("dialog", lambda _: pytest.fail("a script of a task's was executed"))
    text = HOSTILE.replace("'", "'\\''")
    command = f"printf '%s\\n' '{text}'; printf '\\033[31mred\\033[0m \\033]0;title\\007end\\n'"
    task = fleet.submit(command=command, tags=[HOSTILE[:60]], max_attempts=1)
    fleet.wait_for_status(task, "complete")
    row = page.locator(f"#task-{task}")
    expect(row).to_contain_text("<img src=x onerror=alert(1)><script>")
    broken = fleet.submit(name="examples.tasks.fail", args=[HOSTILE], max_attempts=1)
    expect(page.locator(f"#task-{broken} .mark")).to_have_text("failed")
    expect(page.locator(".log li.failed", has_text="{{ 7|add:1 }}")).to_be_visible()
    page.goto(f"/tasks/{broken}/")
    expect(page.locator(".answer .raised")).to_contain_text(HOSTILE)
    page.goto(f"/tasks/{task}/")
    expect(page.locator(".command")).to_contain_text("{{ 7|add:1 }}")
    screen = page.locator("#console .screen")
    expect(screen).to_contain_text(HOSTILE)
    expect(screen).to_contain_text("red end")
    assert "title" not in screen.inner_text()


def test_a_line_of_one_megabyte_is_shown_and_the_page_stays_usable(
    page: Page, fleet: Fleet
) -> None:
    task = fleet.submit(command="head -c 1000000 /dev/zero | tr '\\0' x; echo; echo the end")
    fleet.wait_for_status(task, "complete")
    page.goto(f"/tasks/{task}/")
    screen = page.locator("#console .screen")
    expect(screen).to_contain_text("the end")
    page.get_by_role("button", name="Follow").click()
    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")


def test_keyboard_shortcuts_search_move_open_and_navigate(page: Page, fleet: Fleet) -> None:
    older, newer = (fleet.submit(name="examples.tasks.add", args=[1, 2]) for _ in range(2))
    for task in (older, newer):
        expect(page.locator(f"#task-{task} .mark")).to_have_text("complete")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Keyboard shortcuts")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    expect(page.locator(f"#task-{newer} a")).to_be_focused()
    page.keyboard.press("j")
    expect(page.locator(f"#task-{older} a")).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(rf"/tasks/{newer}/$"))
    # Shortcuts work once the scripts are loaded.
    expect(page.locator(LIVE)).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("d")
    expect(page.get_by_role("heading", name="Dashboard", level=1)).to_be_attached()
    expect(page.locator(LIVE)).to_be_visible()
    page.keyboard.press("/")
    expect(page.locator("#find")).to_be_focused()
    page.keyboard.type(f"{older}")
    expect(page.locator("#tasks tbody tr")).to_have_count(1)
    expect(page.locator(f"#task-{older}")).to_be_visible()
    expect(page).to_have_url(re.compile(rf"\?q={older}$"))
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("w")
    expect(page).to_have_url(re.compile("/workers/$"))


def test_a_filter_chip_filters_the_table_and_the_url_keeps_the_filter(
    page: Page, fleet: Fleet
) -> None:
    failed = fleet.submit(name="examples.tasks.fail", max_attempts=1)
    done = fleet.submit(name="examples.tasks.add", args=[1, 2])
    expect(page.locator(f"#task-{failed} .mark")).to_have_text("failed")
    expect(page.locator(f"#task-{done} .mark")).to_have_text("complete")
    page.get_by_role("radio", name="Failed").check()
    expect(page.locator(f"#task-{done}")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"\?status=failed$"))
    page.reload()
    expect(page.locator(f"#task-{failed}")).to_be_visible()
    expect(page.locator(f"#task-{done}")).to_have_count(0)
    # A push replaces the whole table; the filter must remain.
    another = fleet.submit(name="examples.tasks.add", args=[1, 2])
    fleet.wait_for_status(another, "complete")
    next_failed = fleet.submit(name="examples.tasks.fail", max_attempts=1)
    expect(page.locator(f"#task-{next_failed} .mark")).to_have_text("failed")
    expect(page.locator(f"#task-{another}")).to_have_count(0)


def test_the_form_shows_a_message_for_each_invalid_field(page: Page) -> None:
    form = page.locator("#create-form")
    form.locator("[name=name]").select_option("examples.tasks.add")
    form.locator("[name=count]").fill("1001")
    form.locator("[name=arguments]").fill("{a: 1}")
    form.get_by_role("button", name="Create tasks").click()
    expect(form.locator("#id_count_error")).to_have_text("must be from 1 to 1,000.")
    expect(form.locator("[name=count]")).to_be_focused()
    form.locator("[name=count]").fill("2")
    form.get_by_role("button", name="Create 2 tasks").click()
    expect(form.locator("#id_arguments_error")).to_contain_text("is not valid JSON")
    expect(form.locator("[name=arguments]")).to_have_value("{a: 1}")
    form.locator("[name=arguments]").fill('{"a": 1, "b": 2}')
    form.get_by_role("button", name="Create 2 tasks").click()
    expect(page.locator(".toast")).to_contain_text("Created 2 tasks")
    expect(form.get_by_role("button", name="Create 2 tasks")).to_be_focused()


def test_an_empty_field_shows_what_the_selected_task_declares(page: Page) -> None:
    form = page.locator("#create-form")
    form.locator("[name=name]").select_option("tests.system.sample_tasks.declare_a_queue")
    expect(form.locator("[name=queue]")).to_have_attribute("placeholder", "mail")
    form.locator("[name=name]").select_option("examples.tasks.add")
    expect(form.locator("[name=queue]")).to_have_attribute("placeholder", "default")


def test_draining_can_be_undone_immediately(page: Page, fleet: Fleet) -> None:
    # A worker without tasks goes offline immediately and disappears.
    running = fleet.submit(name="examples.tasks.wait", args=[15])
    fleet.wait_for_status(running, "started")
    worker = page.locator(f"#task-{running} td[data-label=Worker]")
    expect(worker).not_to_have_text("–")
    name = worker.inner_text()
    card = page.locator(".worker", has=page.get_by_role("heading", name=name, exact=True))
    card.get_by_role("button", name="Drain", exact=True).click()
    toast = page.locator(".toast", has_text=f"{name} is draining")
    covered, box = card.locator(".buttons").bounding_box(), toast.bounding_box()
    assert covered is not None
    assert box is not None
    assert box["x"] + box["width"] <= covered["x"] or box["y"] >= covered["y"] + covered["height"]
    toast.get_by_role("button", name="Undo").click()
    expect(page.locator(".toast", has_text=f"{name} accepts tasks again")).to_be_visible()
    expect(card.get_by_role("button", name="Drain", exact=True)).to_be_visible()
    expect(card.locator(".mark")).to_have_text("online")


def test_no_two_labels_of_a_chart_overlap(page: Page) -> None:
    page.add_init_script(RECORD_LABELS)
    page.goto("/")
    expect(page.locator("[data-chart] canvas").first).to_be_visible()
    page.wait_for_function("window.labels.some(each => each.text === '60 min')")
    assert page.evaluate(OVERLAPPING) == []


def test_the_theme_is_kept_and_applies_to_the_admin(page: Page) -> None:
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("button", name="Theme: light").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.goto("/admin/")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("localStorage.getItem('theme')") == "dark"
