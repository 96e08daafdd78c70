"""Test the page of schedules: rows, views, search, the summary, and the buttons."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from taskmaster.tasks.cli.schedules import add_actions
from taskmaster.tasks.models import Schedule, SchedulerState
from taskmaster.tasks.queries import schedule_runs, schedules
from tests.factories import in_s
from tests.schedule_rows import a_run, nightly
from tests.taskmaster_site.pages.people import client, press, text

pytestmark = pytest.mark.django_db


def page(browser: Client, query: str = "", **headers: str) -> str:
    return text(browser.get(f"/schedules/{query}", headers=headers))


def names(html: str) -> list[str]:
    """Return the names of the schedules on a page, in order."""
    return re.findall(r'<td class="lead two"><a [^>]*>(.*?)</a>', html)


def plain(html: str) -> str:
    """Return the text of HTML, with single spaces."""
    return " ".join(re.sub(r"<[^>]*>", "", html).split())


def summary(html: str) -> str:
    return plain(re.search(r'id="summary">(.*?)</p>', html, re.S)[1])  # type: ignore[index]


def note(html: str) -> str:
    found = re.search(r'<tr class="note-row.*?</tr>', html, re.S)
    return plain(found[0]) if found else ""


def birds() -> dict[str, Schedule]:
    """Store a schedule of each state."""
    found = {
        "fine": nightly("fine", next_run_at=in_s(60)),
        "failed": nightly("failing", next_run_at=in_s(120)),
        "late": nightly("slow", next_run_at=in_s(180)),
        "paused": nightly(
            "held", paused_at=in_s(-90), paused_by="maria", pause_reason="New tax rates."
        ),
        "ended": nightly(
            "over", ended_at=in_s(-9), ended_reason="No date is left.", next_run_at=None
        ),
    }
    a_run(found["fine"], in_s(-60), status="complete")
    a_run(found["failed"], in_s(-60), status="failed", errors=[{"message": "no disk"}])
    a_run(found["late"], in_s(-60), status="pending")
    return found


def test_a_row_shows_state_words_outcomes_and_where_it_is_from() -> None:
    schedule = nightly(timezone="Europe/Berlin", source="code")
    a_run(schedule, in_s(-7_200), status="failed")
    a_run(schedule, in_s(-3_600), status="complete")
    html = page(client("view_schedule"))
    assert names(html) == ["nightly-backup"]
    row = html.partition("<tbody>")[2]
    for part in (
        "every day at 02:30, Europe/Berlin",
        ">on time</span>",
        'aria-label="1 complete, 1 failed"',
        '<rect class="failed" x="168" y="2" width="4.6" height="20.0">',
        '<rect class="complete" x="174" y="9" width="4.6" height="13.0">',
        "1.0 h ago",
        "examples.tasks.add",
        'data-label="From">code<',
    ):
        assert part in row, part


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("failed", "The last run failed: no disk. Task"),
        ("late", "No coordinator seems to be running"),
        ("paused", "Paused by maria 1 min ago: “New tax rates.”"),
        ("ended", "No date is left."),
    ],
)
def test_a_second_line_says_why_a_row_needs_a_person(state: str, expected: str) -> None:
    birds()
    html = page(client("view_schedule"), f"?view={state}")
    assert len(names(html)) == 1
    assert expected in note(html)


def test_a_row_that_is_fine_has_no_second_line() -> None:
    birds()
    assert "note-row" not in page(client("view_schedule"), "?q=fine")


@pytest.mark.parametrize("state", ["missed", "refused"])
def test_a_missed_or_refused_run_shows_its_reason(state: str) -> None:
    a_run(nightly(), in_s(-60), state, reason="No coordinator led from 02:11 to 02:58 UTC.")
    html = page(client("view_schedule"))
    assert f"was {state}: No coordinator led from 02:11 to 02:58 UTC." in note(html)


def test_the_summary_names_what_needs_a_person_and_counts_the_rest() -> None:
    birds()
    html = page(client("view_schedule"))
    assert summary(html) == (
        "In the last day 1 of 2 runs succeeded; 1 failed. "
        "failing failed. slow is late. held is paused. 1 other is on time."
    )


def test_the_summary_counts_the_runs_of_the_last_day_and_links_to_the_newest_that_did_not_succeed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schedule = nightly()
    for seconds, state, status in [
        (-90_000, "created", "failed"),
        (-80_000, "created", "failed"),
        (-80_001, "created", "complete"),
        (-70_000, "refused", ""),
        (-50, "skipped", ""),
        (-40, "created", "started"),
        (-30, "created", "cancelled"),
    ]:
        a_run(schedule, in_s(seconds), state, status)
    newest = a_run(nightly("<other>"), in_s(-60), "missed", count=3)
    browser = client("view_schedule")
    html = page(browser)
    assert "In the last day 1 of 7 runs succeeded;" in summary(html)
    assert "succeeded; 1 cancelled, 1 failed, 3 missed, 1 refused." in summary(html)
    assert (
        f'<a href="/schedules/{newest.schedule_id}/#run-{newest.pk}" '
        'title="The newest: &lt;other&gt;">3 missed</a>'
    ) in html
    monkeypatch.setattr(schedule_runs, "DAY_RUNS", 3)
    expected = "Of the newest 4 runs of the last day, 0 succeeded; 1 cancelled, 3 missed."
    assert expected in summary(page(browser))


def test_the_summary_of_schedules_that_are_all_fine() -> None:
    nightly("one")
    nightly("two")
    expected = "All 2 schedules are on time and their last runs did not fail."
    assert summary(page(client("view_schedule"))) == expected


def test_the_summary_names_only_the_first_of_many() -> None:
    for number in range(5):
        nightly(f"held-{number}", paused_at=in_s(-90))
    expected = "held-0, held-1, held-2 and 2 more are paused."
    assert summary(page(client("view_schedule"))) == expected


def test_a_silent_leader_is_named() -> None:
    nightly()
    SchedulerState.objects.create(checked_at=in_s(-3_600))
    expected = "No coordinator has searched for due schedules since 1.0 h ago"
    assert expected in summary(page(client("view_schedule")))


def test_views_have_counts_and_links_that_keep_the_search() -> None:
    birds()
    html = page(client("view_schedule"), "?q=slo&view=late")
    views = re.search(r'id="views".*?</nav>', html, re.S)[0]  # type: ignore[index]
    assert 'href="/schedules/?view=failed&amp;q=slo"' in views
    assert 'aria-current="true">Late <b>1</b>' in views
    assert plain(views).endswith("All 1 Late 1 Last failed 0 Paused 0 Ended 0")
    assert names(html) == ["slow"]
    assert '<input type="hidden" name="view" value="late">' in html


def test_a_script_gets_the_list_and_the_address_follows() -> None:
    birds()
    at = {"HX-Request": "true", "HX-Current-URL": "http://testserver/schedules/"}
    answer = client("view_schedule").get("/schedules/?view=late", headers=at)
    assert "<html" not in text(answer)
    assert answer.headers["HX-Push-Url"] == "/schedules/?view=late"
    for part in ("#summary", "#views", "#view"):
        assert f'hx-target="{part}"' in text(answer)
    typed = Client()
    typed.force_login(User.objects.get(username="eve"))
    answer = typed.get("/schedules/?q=f", headers=at)
    assert answer.headers["HX-Replace-Url"] == "/schedules/?q=f"
    same = {**at, "HX-Current-URL": "http://testserver/schedules/?q=f&page=2"}
    assert not {"HX-Push-Url", "HX-Replace-Url"} & set(
        typed.get("/schedules/?q=f&page=2", headers=same).headers
    )


def test_pages_keep_view_and_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "PAGE_ROWS", 2)
    for name in "abc":
        nightly(name, next_run_at=in_s(60 + ord(name)))
    browser = client("view_schedule")
    html = page(browser, "?q=tasks")
    assert names(html) == ["a", "b"]
    assert 'rel="next" href="?q=tasks&amp;page=2"' in html
    assert 'rel="prev"' not in html
    assert names(page(browser, "?page=2")) == ["c"]
    assert names(page(browser, "?page=x")) == names(page(browser, "?page=-1")) == ["a", "b"]


def test_an_empty_list_and_an_empty_search() -> None:
    browser = client("view_schedule")
    assert "No schedules yet." in page(browser)
    assert "No schedule matches." in page(browser, "?q=x")


@pytest.mark.parametrize(
    ("permissions", "task", "shown"),
    [
        (("view_schedule",), "examples.tasks.add", set()),
        (("view_schedule", "run_schedule"), "examples.tasks.add", {"Run now", "Pause everything…"}),
        (("view_schedule", "run_schedule"), "shell", {"Pause everything…"}),
        (
            ("view_schedule", "run_schedule", "submit_shell"),
            "shell",
            {"Run now", "Pause everything…"},
        ),
        (("view_schedule", "change_schedule"), "examples.tasks.add", {"New schedule"}),
    ],
)
def test_buttons_are_shown_only_to_those_who_may_press_them(
    permissions: tuple[str, ...], task: str, shown: set[str], settings: Any
) -> None:
    settings.TASKMASTER = {"SHELL_TASKS": True}
    nightly(task=task)
    main = page(client(*permissions)).partition("<main")[2].partition("<dialog")[0]
    found = {"Run now", "Pause everything…", "New schedule"}
    assert {label for label in found if label in main} == shown


def test_the_dialog_of_the_import_has_commands_that_the_command_line_accepts() -> None:
    html = page(client("view_schedule", "change_schedule"))
    assert 'data-open="import"' in html
    dialog = html.partition('<dialog id="import"')[2].partition("</dialog>")[0]
    commands = re.findall(r'<code id="(.*?)">manage.py taskmaster schedules (.*?)</code>', dialog)
    assert len(commands) == 4
    parser = ArgumentParser()
    add_actions(parser)
    for name, command in commands:
        assert parser.parse_args(command.split()).schedule_action == "import"
        assert f'data-copy="#{name}"' in dialog
    User.objects.all().delete()
    assert 'id="import"' not in page(client("view_schedule", "run_schedule"))


def test_everything_is_paused_with_a_reason_and_resumed() -> None:
    nightly()
    browser = client("view_schedule", "run_schedule")
    answer = press(browser, "/schedules/pause/", reason="Migration")
    assert answer.headers["HX-Trigger"] == "taskmaster:changed"
    html = page(browser)
    assert "Everything is paused by eve since" in summary(html)
    assert "Migration" in summary(html)
    assert "Resume everything" in html
    assert "Everything is paused." in note(html)
    press(browser, "/schedules/resume/")
    assert "Everything is paused" not in page(browser)


def test_a_name_is_shown_as_text() -> None:
    nightly("<b>&", paused_at=in_s(-9), pause_reason="<script>")
    html = page(client("view_schedule"))
    assert "&lt;b&gt;&amp;" in html
    assert "<script>" not in html.partition("<main")[2]
