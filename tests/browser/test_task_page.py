"""Test the page of a task in a browser: answer, attempts, terminal, focus."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import WAIT_MS
from tests.browser.fleet import Fleet
from tests.browser.terminal_attacks import DROPPED, JOINS, MOVED_ROWS, SECOND_LINE, STRINGS
from tests.browser.test_pages import LIVE, violations
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=WAIT_MS)

#: Creates a terminal of its own in the page, writes pieces as (stream, text), and returns rows of
#: the buffer, the colours of some cells, and the answers that the terminal wanted to send.
TERMINAL = """async ({ pieces, cells }) => {
  const { OutputTerminal } = await import("/static/taskmaster/terminal.js");
  const card = document.createElement("div");
  const screen = document.createElement("div");
  card.append(screen);
  document.querySelector("main").append(card);
  const output = new OutputTerminal(screen, () => {});
  const answers = [];
  output.terminal.onData((data) => answers.push(data));
  output.terminal.onBinary((data) => answers.push(data));
  output.terminal.onTitleChange((title) => answers.push(title));
  for (const [stream, text] of pieces) await output.write(stream, text);
  const buffer = output.terminal.buffer.active;
  const rows = [];
  for (let row = 0; row < buffer.length; row += 1) {
    rows.push(buffer.getLine(row).translateToString(true));
  }
  while (rows.length && !rows.at(-1)) rows.pop();
  const seen = cells.map(([row, column]) => {
    const cell = buffer.getLine(row).getCell(column);
    const mode = cell.isFgRGB() ? "rgb" : cell.isFgPalette() ? "palette" : "default";
    const colours = [cell.getFgColor(), cell.getBgColor()];
    return [cell.getChars(), mode, ...colours, cell.isBold() > 0, cell.isInverse() > 0];
  });
  card.remove();
  return { rows, cells: seen, answers, type: buffer.type };
}"""


def written(page: Page, *pieces: tuple[str, str], cells: tuple[Any, ...] = ()) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(TERMINAL, {"pieces": pieces, "cells": cells})
    return found


def open_task(page: Page, task: int) -> Locator:
    """Open the page of a task, wait until it is live, and return the console's screen."""
    page.goto(f"/tasks/{task}/")
    expect(page.locator(LIVE)).to_be_visible()
    return page.locator("#console .screen")


def top(part: Locator) -> float:
    box = part.bounding_box()
    assert box is not None
    return box["y"]


def height(part: Locator) -> float:
    box = part.bounding_box()
    assert box is not None
    return box["height"]


def later() -> str:
    return (datetime.now(UTC) + timedelta(seconds=3_590)).isoformat()


@pytest.fixture
def examples(fleet: Fleet) -> dict[str, int]:
    """Return a failed, a complete and a scheduled task."""
    modules = "tests.system.sample_tasks"
    found = {
        "failed": fleet.submit(name=f"{modules}.print_and_raise", max_attempts=2, retry_base_s=0.1),
        "complete": fleet.submit(command="printf 'one\\ntwo\\n'", max_attempts=1),
        "pending": fleet.submit(name=f"{modules}.echo", args=[1], scheduled_at=later()),
    }
    for status, task in found.items():
        fleet.wait_for_status(task, status)
    return found


def test_the_page_starts_with_the_answer_and_axe_finds_nothing(
    page: Page, examples: dict[str, int], photograph: Callable[[Page, str], None]
) -> None:
    screen = open_task(page, examples["failed"])
    answer = page.locator(".answer")
    expect(answer.locator("h2")).to_have_text("ValueError no such order")
    expect(answer).to_contain_text("in print_and_raise")
    expect(answer).to_contain_text("Both attempts ended like this.")
    expect(answer.locator("mark")).to_have_text('raise ValueError("no such order")')
    expect(page.locator(".timeline .track rect.failed")).to_have_count(2)
    expect(screen).to_contain_text("to stderr")
    # The answer is under the title; the console is as high as its four lines.
    assert top(page.locator("#task-head")) < top(answer) < top(page.locator(".attempts"))
    assert 30 < height(screen) < 130
    expect(screen.locator(".stderr-mark").first).to_be_attached()
    photograph(page, "task-failed")

    open_task(page, examples["complete"])
    expect(answer.locator("h2")).to_have_text("It returned a result")
    expect(page.locator("#result")).to_be_visible()

    open_task(page, examples["pending"])
    expect(page.locator(".task-head .line")).to_contain_text("due in 59 min")
    expect(answer.locator(".gates li.pending")).to_contain_text("Due time")
    expect(page.locator(".console .empty")).to_be_visible()
    expect(page.locator("main")).not_to_contain_text("Waited")
    photograph(page, "task-scheduled")

    for status, task in examples.items():
        for scheme, width in (("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            open_task(page, task)
            if status != "pending":
                expect(page.locator("#console .xterm-rows")).to_be_visible()
            assert violations(page) == [], (status, scheme, width)
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_terminal_shows_colours_and_cursor_movements(
    page: Page, examples: dict[str, int]
) -> None:
    open_task(page, examples["pending"])
    seen = written(
        page,
        ("stdout", "\x1b[38;5;208mA\x1b[0m\x1b[38;2;1;2;3;48;5;17mB\x1b[0m\x1b[1;7mC\x1b[0mD\n"),
        cells=((0, 0), (0, 1), (0, 2), (0, 3)),
    )
    assert seen["cells"] == [
        ["A", "palette", 208, -1, False, False],
        ["B", "rgb", 0x010203, 17, False, False],
        ["C", "default", -1, -1, True, True],
        ["D", "default", -1, -1, False, False],
    ]
    progress = "\rhalf    \x1b[5Gdone\x1b[K\nabc\b\bX\none\ntwo\n\x1b[2A\x1b[2Kfirst\x1b[2B\rend\n"
    rows = written(page, ("stdout", "10 %\r100 %"), ("stdout", progress))["rows"]
    assert rows == ["halfdone", "aXc", "first", "two", "end"]
    # Sequences that are cut between pieces, and a colour that continues after another stream.
    interleaved = written(
        page,
        ("stdout", "a\x1b[3"), ("stderr", "plain\n"), ("stdout", "1mred"), ("log", "note\n"),
        ("stdout", "still red\n"),
        cells=((1, 0), (2, 0), (3, 0), (4, 0)),
    )  # fmt: skip
    assert interleaved["rows"] == ["a", "plain", "red", "note", "still red"]
    assert [cell[1:3] for cell in interleaved["cells"]] == [
        ["default", -1], ["palette", 1], ["default", -1], ["palette", 1],
    ]  # fmt: skip


def test_the_terminal_answers_nothing_and_cannot_be_switched(
    page: Page, examples: dict[str, int]
) -> None:
    open_task(page, examples["pending"])
    queries = (
        "\x1b[c", "\x1b[>c", "\x1b[=c", "\x1b[5n", "\x1b[6n", "\x1b[?6n", "\x1b[?25$p", "\x1b[4$p",
        "\x1b[>q", "\x1b[14t", "\x1b[18t", "\x1b[21t", "\x1bP$qm\x1b\\", "\x1b]10;?\x07",
        "\x1b]4;1;?\x07", "\x1b]0;title\x07", "\x1b]52;c;?\x07", "\x9b6n", "\x9d11;?\x9c", "\x05",
        "\x1b[?1004h", "\x1b[?1000h", "\x1b]8;;https://example.com\x07link\x1b]8;;\x07",
    )  # fmt: skip
    switches = "\x1b[?1049h\x1b[?47h\x1bc\x1b[3J\x1b[5;9r\x1b[4h\x1b[?3h"
    floods = "".join(f"\x1b[2147483647{final}" for final in "bSTLMIZ@PX")
    directions = "\u202etxt.exe\u202c\u200e\u200f\u061c"
    seen = written(
        page,
        ("stdout", "kept\n"),
        *(("stdout", query) for query in queries),
        ("stdout", switches + floods + directions + "\nend\n"),
    )
    assert seen["answers"] == []
    assert seen["type"] == "normal"
    assert seen["rows"][0] == "kept"
    assert seen["rows"][1] == "linkU+202Etxt.exeU+202CU+200EU+200FU+061C"
    assert seen["rows"][-1] == "end"
    # Unfinished sequences take linear time.
    long = [("stdout", each * 100_000) for each in ("\x1b", "\x1b[", "\x1b]", "\x1b[1;", "\x9b")]
    assert written(page, *long, ("stderr", "end\n"))["rows"][-1] == "end"
    # What is removed does not join its surroundings to a string, nor do pieces.
    texts = [begin + rest for begin in (*JOINS, *DROPPED) for rest in ("]8;;u:v\x07", "]2;t\x07")]
    texts += [begin + each + "y" for begin in JOINS for each in "PX^_"]
    halves = [[begin, rest] for begin in (*JOINS, *DROPPED) for rest in ("]8;;u:v\x07", "Py")]
    attacks = [[text] for text in texts] + [list(text) for text in texts if len(text) < 50] + halves
    assert page.evaluate(STRINGS, attacks) == []
    # The terminal itself ignores them, too.
    assert page.evaluate(SECOND_LINE) == {"link": 0, "answers": []}
    # Rows that sequences move are limited to a fraction of the output, and to some at any time.
    size = 262_144
    for final in "STLM":
        flood = f"X\x1b[24{final}"
        assert 10_000 < page.evaluate(MOVED_ROWS, flood * (size // len(flood))) < 100_000, final
        assert page.evaluate(MOVED_ROWS, f"X\x1b[1000{final}" * 1_000) < 10_000, final
    clear = "\x1b[24HX\x1b[2J"
    assert 10_000 < page.evaluate(MOVED_ROWS, clear * (size // len(clear))) < 120_000
    # More repetitions than a row has cells are ignored.
    rows = written(page, ("stdout", "X\x1b[1000b" * 1_000))["rows"]
    assert "".join(rows) == "X" * 1_000
    # A character keeps 16 marks. A character with 16 marks is not repeated; a plain one is.
    rows = written(page, ("stdout", "e" + "\u0301" * 20_000 + "\x1b[9b\r\nX\x1b[9b\n"))["rows"]
    assert rows == ["e" + "\u0301" * 16, "X" * 10]


def test_any_scroll_away_ends_follow(page: Page, fleet: Fleet) -> None:
    task = fleet.submit(command="i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done")
    fleet.wait_for_status(task, "started")
    screen = open_task(page, task)
    follow = page.get_by_role("button", name="Follow")
    expect(screen).to_contain_text("line 60")
    assert height(screen) < 480
    box = screen.bounding_box()
    assert box is not None
    touch = page.context.new_cdp_session(page)

    def drag_scrollbar() -> None:
        slider = screen.locator(".scrollbar.vertical .slider")
        place = slider.bounding_box()
        assert place is not None
        page.mouse.move(place["x"] + 3, place["y"] + 5)
        page.mouse.down()
        page.mouse.move(place["x"] + 3, box["y"], steps=5)
        page.mouse.up()

    def drag_finger() -> None:
        x, y = box["x"] + 100, box["y"] + 100
        for kind, down in (("touchStart", 0), ("touchMove", 60), ("touchMove", 150)):
            points = [{"x": x, "y": y + down}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def turn_wheel() -> None:
        page.mouse.move(box["x"] + 100, box["y"] + 100)
        page.mouse.wheel(0, -200)

    def press_key() -> None:
        screen.locator("textarea").focus()
        page.keyboard.press("PageUp")

    for scroll in (turn_wheel, drag_scrollbar, drag_finger, press_key):
        expect(follow).to_have_attribute("aria-pressed", "true")
        scroll()
        expect(follow).to_have_attribute("aria-pressed", "false")
        # The view stays where it is while more is printed.
        first = screen.locator(".xterm-rows > div").first
        shown = first.inner_text()
        newest = int(fleet.printed(task).split()[-1])
        wait_until(
            lambda newest=newest: int(fleet.printed(task).split()[-1]) > newest + 20, "it prints"
        )
        assert first.inner_text() == shown
        follow.click()
        expect(first).not_to_have_text(shown)
    # The focus stays on the page when the button disappears.
    page.locator("#cancel").focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name=f"Cancel task {task}").click()
    expect(page.locator("#retry")).to_be_focused()
    expect(page.locator(".answer h2")).to_have_text("It was cancelled while it ran.")


def test_the_gap_is_named_and_the_download_is_complete(
    page: Page, fleet: Fleet, tmp_path: Path
) -> None:
    task = fleet.submit(command="seq 1 100000", max_attempts=1)
    fleet.wait_for_status(task, "complete")
    screen = open_task(page, task)
    gap = page.locator("#gap-1")
    expect(gap).to_contain_text("It printed 588,895 bytes")
    [cut] = re.findall(r"([\d,]+) bytes in the middle are not stored", gap.inner_text())
    expect(screen).to_contain_text("100000")
    with page.expect_download() as started:
        page.get_by_role("link", name="Download").click()
    assert started.value.suggested_filename == f"task-{task}.txt"
    started.value.save_as(tmp_path / "output.txt")
    text = (tmp_path / "output.txt").read_text()
    assert text.startswith("1\n2\n3\n")
    assert text.endswith("99999\n100000\n")
    assert f"… {cut} bytes cut …" in text
    assert len(text.encode()) - len(f"\n… {cut} bytes cut …\n".encode()) == 588_895 - int(
        cut.replace(",", "")
    )
