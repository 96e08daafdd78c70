"""Test `manage.py taskmaster schedules`."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from taskmaster import Cron, Every
from taskmaster.tasks.models import Schedule, ScheduleRun, Task
from taskmaster.tasks.models.schedule import RunState
from taskmaster.tasks.schedules import declarations, service
from taskmaster.tasks.schedules.declarations import DeclaredSchedule
from tests.factories import in_s, stored
from tests.tasks.schedules.importers import tables

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    """Run the command and return its output."""
    out = io.StringIO()
    call_command("taskmaster", "schedules", *arguments, stdout=out)
    return out.getvalue()


def run_json(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def refused(*arguments: str) -> str:
    """Run the command, which must fail, and return the message."""
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    return str(caught.value)


def a_schedule(name: str = "nightly", **fields: Any) -> Schedule:
    given = {"task": "examples.tasks.add", "args": [1, 2], "cron": "30 2 * * *"}
    given |= {"name": name, "timezone": "Europe/Berlin", **fields}
    return service.create(given, user=None)


def test_list_shows_each_schedule_in_one_line() -> None:
    assert run("list") == "No schedules.\n"
    a_schedule()
    service.pause(a_schedule("weekly", cron="0 4 * * sun"), "audit", user=None)
    head, nightly, weekly = run("list").splitlines()
    assert head.split() == ["NAME", "STATE", "NEXT", "RUN", "LAST", "RUN", "WHEN", "TASK", "SOURCE"]
    assert nightly.startswith("nightly  active  in ")
    when = "every day at 02:30, Europe/Berlin"
    assert " ".join(nightly.split()).endswith(f"– {when} examples.tasks.add console")
    assert weekly.startswith("weekly   paused  –")
    names = [(each["name"], each["state"]) for each in run_json("list")]
    assert names == [("nightly", "active"), ("weekly", "paused")]


def test_a_run_that_was_created_ahead_is_the_next_one_and_not_the_last() -> None:
    schedule = a_schedule()
    for seconds, state in ((-60, RunState.SKIPPED), (20, RunState.CREATED)):
        ScheduleRun.objects.create(
            schedule=schedule, due_at=in_s(seconds), run_at=in_s(seconds), state=state
        )
    _, line = run("list").splitlines()
    assert re.search(r"active +in [12][0-9](\.\d)? s +skipped 1 min ago", line)
    assert re.search(r"next run +\S+ \S+ +\(in [12][0-9](\.\d)? s\)", run("show", "nightly"))


def test_list_says_that_everything_is_paused() -> None:
    a_schedule()
    service.pause_all("migration", user=None)
    assert run("list").startswith("All schedules are paused since ")
    assert ": migration\n" in run("list")


def test_show_prints_the_rules_and_the_newest_runs() -> None:
    schedule = a_schedule(overlap="skip", priority=5, tags=["a", "b"])
    [task_id] = stored()
    due = in_s(-3600)
    ScheduleRun.objects.create(
        schedule=schedule, due_at=due, run_at=due, state=RunState.CREATED, task_id=task_id
    )
    earlier = in_s(-7200)
    ScheduleRun.objects.create(
        schedule=schedule,
        due_at=earlier,
        run_at=earlier,
        state=RunState.MISSED,
        reason="No coordinator led.",
        count=3,
    )
    shown = run("show", "nightly")
    for line in (
        "Schedule nightly  active",
        "  when       every day at 02:30, Europe/Berlin",
        "  trigger    cron 30 2 * * *",
        "  task       examples.tasks.add",
        "  args       [1, 2]",
        "  priority   5",
        "  tags       a, b",
        "  overlap    skip",
        "  source     console",
    ):
        assert f"{line}\n" in shown
    newest, before = shown.splitlines()[-2:]
    assert newest.split()[-3:] == ["pending", "scheduled", str(task_id)]
    assert before.startswith("3 times from ")
    assert before.split()[5:] == ["missed", "scheduled", "–", "No", "coordinator", "led."]
    found = run_json("show", "nightly")
    assert (found["name"], found["args"]) == ("nightly", [1, 2])
    assert [each["status"] for each in found["runs"]] == ["pending", None]


def test_a_name_that_does_not_exist_names_the_closest_ones() -> None:
    a_schedule("nightly-invoices")
    for action in (["show"], ["pause", "--reason", "x"], ["resume"], ["run"], ["preview"]):
        assert refused(*action, "nightly-invoice") == (
            "There is no schedule nightly-invoice. The closest names are nightly-invoices."
        )
        # The shell passes bytes that are not UTF-8 in this form.
        assert refused(*action, "\udcff").startswith("NAME: contains U+0000 or an unpaired")


def test_preview_shows_the_days_on_which_the_clocks_change() -> None:
    shown = run("preview", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "--count", "3")
    lines = shown.splitlines()
    assert lines[0] == "Every day at 02:30, Europe/Berlin"
    assert all(" 02:30:00 +0" in line for line in lines[1:4])
    assert "Later, when the clocks change:" in lines
    assert "  clocks go forward" in shown
    rows = run_json("preview", "--interval", "90", "--count", "2")["rows"]
    assert len(rows) == 2


def test_preview_takes_a_name_and_stops_after_the_last_run() -> None:
    schedule = a_schedule(cron="@hourly", max_runs=3)
    Schedule.objects.filter(pk=schedule.pk).update(runs_made=1)
    assert len(run("preview", "nightly").splitlines()) == 1 + 2 + 1
    assert run("preview", "nightly").endswith("  No run is due after that.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "NAME: is required, or one of --cron, --interval and --date."),
        (
            ["nightly", "--cron", "@daily"],
            "--cron: cannot be combined with NAME; give one of them.",
        ),
        (["--interval", "soon"], "--interval: must be a number of seconds"),
        (["--interval", "0.5"], "--interval: is 0.5"),
        (["--cron", "@daily", "--timezone", "Berlin"], "--timezone: "),
        (["--cron", "@daily", "--skipped-time", "never"], "--skipped-time: is 'never'"),
        (["--date", "soon"], "--date: 'soon' is not a time"),
        (["--cron", "0 0 30 2 *"], "--cron: "),
        (["--cron", "@daily", "--count", "0"], "--count: is '0'; it must be a whole number"),
    ],
)
def test_a_wrong_option_of_preview_is_named(arguments: list[str], message: str) -> None:
    assert refused("preview", *arguments).startswith(message)


def test_pause_resume_and_run_act_on_the_schedule() -> None:
    a_schedule()
    assert run("pause", "nightly", "--reason", "audit") == "Schedule nightly is paused.\n"
    paused = Schedule.objects.get()
    assert (paused.pause_reason, paused.paused_by) == ("audit", "")
    assert "audit" in run("show", "nightly")
    text = run("run", "nightly")
    task = Task.objects.get()
    assert text == f"Schedule nightly runs as task {task.pk}.\n"
    assert (task.name, task.args) == ("examples.tasks.add", [1, 2])
    assert run("resume", "nightly").startswith("Schedule nightly is resumed; next run: in ")
    assert run_json("pause", "nightly", "--reason", "audit")["state"] == "paused"


def test_run_takes_a_due_time_of_the_past_only() -> None:
    a_schedule(cron="@hourly")
    message = refused("run", "nightly", "--due-at", "2099-01-01T00:00Z")
    assert message.startswith("--due-at: ")
    assert not Task.objects.exists()


def test_sync_prints_the_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    def declared(name: str, each: Cron | Every, task: str = "examples.tasks.add") -> Any:
        fields = {**each.call_fields(task), **each.schedule_fields()}
        return DeclaredSchedule(name, fields, f"shop/{name}.py:1")

    first = [declared("a", Every(60, args=[1, 2])), declared("b", Every(60, args=[1, 2]))]
    second = [declared("a", Every(90, args=[1, 2])), declared("c", Cron("@daily", args=[1, 2]))]
    monkeypatch.setattr(declarations, "load", lambda: first)
    assert run("sync").endswith("2 added, 0 changed, 0 ended, 0 unchanged, 0 refused.\n")
    monkeypatch.setattr(declarations, "load", lambda: second)
    shown = run("sync", "--dry-run")
    assert [line.split()[:2] for line in shown.splitlines()[1:-1]] == [
        ["a", "changed"],
        ["c", "added"],
        ["b", "ended"],
    ]
    assert "interval_s" in shown
    assert "shop/c.py:1" in shown
    assert Schedule.objects.filter(ended_at=None).count() == 2
    report = {each["name"]: each["difference"] for each in run_json("sync")}
    assert report == {"a": "changed", "c": "added", "b": "ended"}
    assert run("sync") == "0 added, 0 changed, 0 ended, 2 unchanged, 0 refused.\n"
    monkeypatch.setattr(declarations, "load", lambda: [declared("x", Every(60), "no.such.task")])
    assert refused("sync", "--dry-run") == "1 of 3 schedules was refused; see above."


def test_import_shows_what_it_would_create_and_creates_it_with_apply() -> None:
    tables.create_beat_tables()
    add = "examples.tasks.add"
    tables.periodic_task("nightly", add, tables.crontab("30", "2"), args=[1, 2], priority=3)
    tables.periodic_task("off", add, tables.interval(5, "minutes"), args=[1, 2], enabled=False)
    tables.periodic_task("sun", add, tables.solar())
    tables.periodic_task("fast", add, tables.interval(100, "microseconds"), args=[1, 2])
    tables.periodic_task("past", add, tables.clocked(in_s(-60)), args=[1, 2])
    tables.periodic_task("unknown", "shop.tasks.send", tables.interval(5, "minutes"))
    tables.periodic_task("misfit", add, tables.interval(5, "minutes"), args=[1])
    tables.periodic_task("taken", add, tables.interval(5, "minutes"), args=[1, 2])
    kept = a_schedule("taken")
    shown = run("import", "celery-beat")
    assert Schedule.objects.count() == 1
    assert shown.endswith("2 new, 1 exists, 5 refused. Nothing is created without --apply.\n")
    found = {each["name"]: each for each in run_json("import", "celery-beat", "--apply")}
    assert {name: each["state"] for name, each in found.items()} == {
        "nightly": "created",
        "off": "created",
        "sun": "refused",
        "fast": "refused",
        "past": "refused",
        "unknown": "refused",
        "misfit": "refused",
        "taken": "exists",
    }
    assert (found["nightly"]["when"], found["nightly"]["task"]) == ("every day at 02:30, UTC", add)
    assert found["nightly"]["note"].startswith("priority 3 is left out")
    assert found["fast"]["note"].startswith("interval_s: ")
    assert found["past"]["note"].startswith("dates: ")
    assert found["unknown"]["note"].startswith("task: 'shop.tasks.send' is not a registered task")
    assert found["misfit"]["note"].startswith("args: missing argument 'b'")
    off = Schedule.objects.get(name="off")
    assert (off.interval_s, off.pause_reason) == (300, "Disabled in django-celery-beat.")
    assert Schedule.objects.get(name="taken").version == kept.version
    assert "2 exists" not in run("import", "celery-beat", "--apply")


def test_import_of_django_q2_refuses_what_cron_does_not_have() -> None:
    tables.create_q2_table()
    add = "examples.tasks.add"
    for cron in ("*/5 * * * *", "* * * * * 30", "0 0 L * *"):
        tables.q2_schedule(add, "C", name=cron, cron=cron, args="1, 2", next_run=in_s(60))
    tables.q2_schedule(add, "O", name="past", args="1, 2", next_run=in_s(-60))
    tables.q2_schedule(add, "I", name="twice", args="1, 2", next_run=in_s(60), repeats=2)
    found = {each["name"]: each for each in run_json("import", "django-q2", "--apply")}
    assert {name: each["state"] for name, each in found.items()} == {
        "*/5 * * * *": "created",
        "* * * * * 30": "refused",
        "0 0 L * *": "refused",
        "past": "refused",
        "twice": "created",
    }
    assert found["* * * * * 30"]["note"].startswith("cron: ")
    twice = Schedule.objects.get(name="twice")
    assert (twice.interval_s, twice.max_runs, twice.args) == (60, 2, [1, 2])


def test_import_of_a_crontab_creates_shell_schedules(tmp_path: Path) -> None:
    file = tmp_path / "crontab"
    file.write_text("PATH=/bin\n*/10 * * * * poll --all\n@reboot start\n61 * * * * never\n")
    shown = run("import", "crontab", str(file), "--apply", "--timezone", "Asia/Tokyo")
    assert "1 created, 2 refused.\n" in shown
    schedule = Schedule.objects.get()
    assert (schedule.task, schedule.cron, schedule.timezone) == (
        "shell",
        "*/10 * * * *",
        "Asia/Tokyo",
    )
    assert schedule.kwargs == {"command": "poll --all", "env": {"PATH": "/bin"}}
    file.write_text("# empty\n")
    assert run("import", "crontab", str(file)) == "The source has no schedules.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["celery-beat"], "celery-beat: the database has no table django_celery_beat_periodictask"),
        (["django-q2"], "django-q2: the database has no table django_q_schedule"),
        (["celery"], "APP: is required; give it after celery."),
        (["crontab"], "FILE: is required; give it after crontab."),
        (["django-q2", "x"], "APP|FILE: django-q2 takes none"),
        (["celery", "shop"], "SOURCE: is 'shop'; give MODULE:APP"),
        (["django-q2", "--system"], "--system: belongs to crontab."),
        (["crontab", "x", "--timezone", "Mars"], "--timezone: "),
    ],
)
def test_a_wrong_option_of_import_is_named(arguments: list[str], message: str) -> None:
    assert refused("import", *arguments).startswith(message)
