"""Test `manage.py taskmaster`, which does for the operator what REST does for clients."""

from __future__ import annotations

import io
import json
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from taskmaster.tasks.cli.terminal import TerminalPrinter
from taskmaster.tasks.models import QueueState, Task, TaskOutput
from taskmaster.tasks.queries import search
from taskmaster.workers.models import Worker
from tests.factories import in_s, stored
from tests.tasks.api.people import client_with

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    """Run the command and return its output."""
    out = io.StringIO()
    call_command("taskmaster", *arguments, stdout=out)
    return out.getvalue()


def run_json(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def in_status(status: str) -> int:
    task_id = stored()[0]
    Task.objects.filter(pk=task_id).update(status=status)
    return task_id


def test_the_help_of_a_search_names_how_far_it_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("taskmaster", "list", "--help")
    assert search.REACH_TEXT in " ".join(capsys.readouterr().out.split())


def test_submit_stores_a_python_task() -> None:
    output = run("submit", "examples.tasks.add", "--args", "[1]", "--kwargs", '{"b": 2}')
    task = Task.objects.get()
    assert (task.name, task.args, task.kwargs) == ("examples.tasks.add", [1], {"b": 2})
    assert (task.queue, task.priority, task.created_by) == ("default", 0, None)
    assert output == f"Submitted task {task.pk}: examples.tasks.add, queue default.\n"


def test_submit_takes_every_option() -> None:
    when = in_s(3600)
    run(
        *("submit", "examples.tasks.wait", "--queue", "reports", "--priority", "-7"),
        *("--at", when.isoformat(), "--max-attempts", "5", "--timeout", "1.5"),
        *("--tag", "a", "--tag", "b"),
    )
    task = Task.objects.get()
    assert (task.queue, task.priority, task.scheduled_at) == ("reports", -7, when)
    assert (task.max_attempts, task.timeout_s, task.tags) == (5, 1.5, ["a", "b"])


def test_submit_stores_a_script_with_its_folder_and_environment() -> None:
    run("submit", "--shell", "seq 3 | sort -r", "--cwd", "/", "--env", "A=1", "--env", "B=x=y")
    task = Task.objects.get()
    assert task.name == "shell"
    assert task.kwargs == {
        "command": "seq 3 | sort -r",
        "cwd": "/",
        "env": {"A": "1", "B": "x=y"},
    }


def test_a_script_may_begin_with_a_dash_or_be_given_as_arguments() -> None:
    run("submit", "--shell=-x")
    run("submit", "shell", "--kwargs", '{"command": ["ls", "-l"]}')
    assert [task.kwargs["command"] for task in Task.objects.order_by("pk")] == ["-x", ["ls", "-l"]]


def test_a_worker_is_drained_by_name_or_id() -> None:
    heron = Worker.objects.create(id=uuid4(), name="heron", host="h", pid=7, executor="x", slots=4)
    drained = run("drain", "heron")
    assert drained.startswith("Worker heron is draining: it accepts no new tasks")
    heron.refresh_from_db()
    assert heron.drain
    assert run_json("undrain", str(heron.pk))["drain"] is False
    Worker.objects.create(id=uuid4(), name="heron", host="h", pid=8, executor="x", slots=4)
    for worker, message in (
        ("stork", "There is no worker stork."),
        ("heron", "worker: several workers are named 'heron'; give an id."),
    ):
        with pytest.raises(CommandError) as caught:
            run("drain", worker)
        assert str(caught.value) == message


def test_show_explains_why_a_task_is_not_running() -> None:
    [task_id] = stored()
    reason = "No coordinator seems to be running: none has reported for 15 s."
    assert f"Task {task_id}  pending\n  {reason}\n" in run("show", str(task_id))
    assert run_json("show", str(task_id))["reason"] == reason
    Task.objects.filter(pk=task_id).update(status="complete")
    assert "coordinator" not in run("show", str(task_id))


def test_show_quotes_a_queue_without_backticks() -> None:
    [task_id] = stored()
    QueueState.objects.create(coordinator=uuid4(), queue="", workers=0, slots=0, free=0)
    assert "  No worker serves the queue 'default'.\n" in run("show", str(task_id))


def test_a_worker_is_stopped_and_killed() -> None:
    heron = Worker.objects.create(id=uuid4(), name="heron", host="h", pid=7, executor="x", slots=4)
    output = run("stop", "heron")
    assert output.startswith("Worker heron stops when its running tasks have ended or its grace")
    assert run_json("kill", str(heron.pk))["command"] == "kill"
    with pytest.raises(CommandError, match="was asked to kill"):
        run("undrain", "heron")


def test_json_output_equals_the_response_of_rest() -> None:
    client = client_with("taskmaster_tasks.view_task")
    submitted = run_json("submit", "examples.tasks.add", "--args", "[1, 2]")
    assert submitted == client.get(f"/api/tasks/{submitted['id']}/").json()
    assert run_json("list") == client.get("/api/tasks/").json()["results"]
    TaskOutput.objects.create(
        task_id=submitted["id"], lease=1, attempt=1, seq=1, stream="stdout", text="ü\n"
    )
    shown = run_json("show", str(submitted["id"]))
    assert shown.pop("output") == client.get(f"/api/tasks/{submitted['id']}/output/").json()
    assert shown == submitted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["submit"], "NAME: is required; give"),
        (["submit", "examples.tasks.ad"], "NAME: 'examples.tasks.ad' is not a registered task"),
        (
            ["submit", "examples.tasks.add", "--shell", "ls"],
            "NAME: cannot be combined with --shell",
        ),
        (["submit", "--shell", "ls", "--args", "[]"], "--args: cannot be combined with --shell"),
        (["submit", "--shell", " "], "--shell: must be a script"),
        (["submit", "--shell", "x" * 1_100_000], "--shell: args and kwargs have"),
        (
            ["submit", "--shell", "ls", "--env", "A"],
            "--env: is 'A'; it must have the form NAME=VALUE",
        ),
        (
            ["submit", "--shell", "ls", "--env", "=A"],
            "--env: is '=A'; it must have the form NAME=VALUE",
        ),
        (["submit", "--shell", "ls", "--cwd", ""], "--cwd: must be the path of a directory"),
        (["submit", "examples.tasks.add", "--cwd", "/"], "--cwd: requires --shell"),
        (["submit", "examples.tasks.add", "--args", "[1"], "--args: is not valid JSON"),
        (["submit", "examples.tasks.add", "--args", "[" * 100_000], "--args: is not valid JSON"),
        (["submit", "examples.tasks.add", "--args", "[NaN]"], "--args: is not valid JSON"),
        (["submit", "examples.tasks.add", "--args", "{}"], "--args: must be a list"),
        (["submit", "examples.tasks.add", "--kwargs", "[]"], "--kwargs: must be an object"),
        (["submit", "shell", "--kwargs", "{}"], "--kwargs.command: must be a script"),
        (["submit", "examples.tasks.add", "--queue", "q" * 65], "--queue: has 65 characters"),
        (["submit", "examples.tasks.add", "--priority", "101"], "--priority: is 101; it must be"),
        (["submit", "examples.tasks.add", "--priority", "high"], "--priority: must be a whole"),
        (["submit", "examples.tasks.add", "--at", "2099-01-01T00:00:00"], "has no time zone"),
        (["submit", "examples.tasks.add", "--max-attempts", "0"], "--max-attempts: is 0"),
        (["submit", "examples.tasks.add", "--timeout", "nan"], "--timeout: is nan"),
        (["submit", "examples.tasks.add", "--timeout", "1h"], "--timeout: must be a number"),
        (["submit", "examples.tasks.add", "--tag", ""], "--tag: must not be empty"),
        (["submit", "examples.tasks.add", "--deadline", "5"], "--deadline: requires --wait"),
        (["submit", "examples.tasks.add", "--wait", "--deadline", "-1"], "--deadline: is '-1'"),
        (["submit", "examples.tasks.add", "--wait", "--deadline", "inf"], "--deadline: is 'inf'"),
        (["list", "--status", "done"], "--status: "),
        (["list", "--limit", "0"], "--limit: is '0'; it must be a whole number from 1"),
        (["list", "--limit", "all"], "--limit: is 'all'"),
        (["show", "5x"], "ID: is '5x'; it must be a whole number"),
        (["show", "0"], "There is no task 0."),
        (["show", str(2**63)], f"There is no task {2**63}."),
        (["cancel", "9" * 5000], "There is no task 999"),
        (["retry", "1", "²"], "ID: is '²'; it must be a whole number"),
    ],
)
def test_bad_input_is_named_in_one_line_and_nothing_is_stored(
    arguments: list[str], message: str
) -> None:
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert Task.objects.count() == 0


def test_list_shows_the_newest_first_with_the_head_of_a_command() -> None:
    stored(name="examples.tasks.add", kwargs="{}")
    stored(kwargs='{"command":"echo one\\necho \\u001b[31mtwo"}')
    head, newest, oldest = run("list").splitlines()
    assert head.split() == [
        *(
            "ID",
            "STATUS",
            "QUEUE",
            "PRIORITY",
            "ATTEMPT",
            "CREATED",
            "RAN",
            "WORKER",
            "TASK",
            "ERROR",
        )
    ]
    assert newest.endswith("shell: echo one echo ·[31mtwo")
    assert oldest.endswith("  examples.tasks.add")
    assert "pending" in oldest


def test_list_names_errors_and_finds_them() -> None:
    failed, other = in_status("failed"), stored()[0]
    error = {"class": "raised", "exception": "builtins.OSError", "message": f"\x1b[31m{'x' * 200}"}
    Task.objects.filter(pk=failed).update(errors=[error])
    line = run("list", "--q", "oserror").splitlines()[1]
    assert line.startswith(str(failed))
    assert line.endswith(f"OSError: ·[31m{'x' * 85}…")
    assert [task["id"] for task in run_json("list", "--q", f"#{other}")] == [other]


def test_a_search_without_a_match_names_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    stored(3)
    # The sequence of ids continues from test to test.
    monkeypatch.setattr(search, "REACH", 10**9)
    assert run("list", "--q", "nowhere") == "No tasks match.\n"
    monkeypatch.setattr(search, "REACH", 2)
    assert run("list", "--q", "nowhere") == "No tasks match among the newest 100,000 tasks.\n"
    assert run("list", "--q", "#999999999") == "No tasks match.\n"


def test_list_filters_and_limits() -> None:
    red = stored(queue="red")[0]
    add = stored(name="examples.tasks.add", kwargs="{}")[0]
    tagged = stored(tags=("nightly",))[0]
    failed = in_status("failed")

    def ids(*arguments: str) -> list[int]:
        return [task["id"] for task in run_json("list", *arguments)]

    assert ids() == [failed, tagged, add, red]
    assert ids("--queue", "red") == [red]
    assert ids("--name", "examples.tasks.add") == [add]
    assert ids("--tag", "nightly") == [tagged]
    assert ids("--status", "failed,complete") == [failed]
    assert ids("--limit", "2") == [failed, tagged]
    assert ids("--queue", "red", "--status", "failed") == []


def test_an_empty_list_prints_that_no_tasks_match() -> None:
    assert run("list") == "No tasks.\n"
    stored()
    assert run("list", "--queue", "red") == "No tasks match.\n"
    assert run_json("list", "--queue", "red") == []


def test_show_prints_result_errors_and_output() -> None:
    task_id = stored(queue="red", tags=("a", "b"))[0]
    error = {
        "attempt": 1,
        "worker": "one",
        "at": "2030-01-01T00:00:00Z",
        "class": "exit_code",
        "code": 3,
        "message": "exit code 3",
    }
    now = timezone.now()
    Task.objects.filter(pk=task_id).update(
        status="complete",
        attempt=2,
        worker="two",
        started_at=now,
        completed_at=now,
        result={"sum": 3},
        errors=[error],
    )
    TaskOutput.objects.create(
        task_id=task_id, lease=1, attempt=1, seq=0, stream="stdout", text="first\nlines\n"
    )
    output = run("show", str(task_id))
    for line in (
        f"Task {task_id}  complete",
        '  kwargs     {"command": "true"}',
        "  queue      red, priority 0",
        "  tags       a, b",
        "  attempts   2 of 3, time-out 3600 s",
        "  worker     two",
        '  result     {"sum": 3}',
        "Error of attempt 1 on one: exit code (3)",
        "  exit code 3",
        "Output of attempt 1",
        "  first",
        "  lines",
    ):
        assert line in output.splitlines(), output


def test_cancel_and_retry_accept_several_tasks() -> None:
    one, two = map(str, stored(2))
    assert run("cancel", one, two) == f"Task {one} is cancelled.\nTask {two} is cancelled.\n"
    assert [task["status"] for task in run_json("retry", one, two)] == ["pending", "pending"]


def test_cancel_continues_after_a_refused_task() -> None:
    ended, pending = in_status("complete"), in_status("pending")
    with pytest.raises(CommandError) as caught:
        run("cancel", str(ended), "0", str(pending))
    assert str(caught.value) == (
        f"Task {ended} is complete: only tasks that have not ended can be cancelled. "
        "There is no task 0."
    )
    assert Task.objects.get(pk=pending).status == "cancelled"


def test_a_wait_ends_at_its_deadline_and_the_task_continues() -> None:
    with pytest.raises(CommandError, match=r"is still pending after 0\.05 s. It was not cancelled"):
        run("submit", "examples.tasks.wait", "--wait", "--deadline", "0.05")
    assert Task.objects.get().status == "pending"


@pytest.mark.parametrize(
    ("coloured", "expected"), [(True, "\x1b[31m✗ failed\x1b[0m"), (False, "✗ failed")]
)
def test_a_terminal_gets_glyphs_and_colours_but_no_control_characters(
    coloured: bool, expected: str
) -> None:
    screen = io.StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    task = Task.objects.get(pk=in_status("failed"))
    chunk = TaskOutput(attempt=1, text="\x1b]0;mine\x07 ü\tx\n")
    printer = TerminalPrinter(screen, coloured=coloured)
    printer.task(task, [chunk])
    printer.table([task])
    output = screen.getvalue()
    assert output.startswith(f"Task {task.pk}  {expected}\n")
    assert "  ·]0;mine· ü\tx\n" in output
    head, row = output.replace("\x1b[31m", "").replace("\x1b[0m", "").splitlines()[-2:]
    assert head.index("QUEUE") == row.index("default")


def test_a_terminal_gets_the_codes_of_characters_that_change_the_direction() -> None:
    screen = io.StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    printer = TerminalPrinter(screen, coloured=False)
    printer.line("exe\u202egnp")
    printer.columns(("A", "B"), [("exe\u202egnp", "b")], marked=False)
    task = Task.objects.get(pk=in_status("failed"))
    task.worker = "exe\u202egnp"
    printer.task(task, [TaskOutput(attempt=1, text="exe\u202egnp")])
    assert screen.getvalue().count("exeU+202Egnp") == 4
    assert "\u202e" not in screen.getvalue()
    printer.json({"name": "exe\u202egnp"})
    assert "exe\u202egnp" in screen.getvalue()


def test_a_pipe_gets_the_output_as_it_was_printed() -> None:
    stream = io.StringIO()
    printed = TaskOutput(attempt=1, text="\x1b[1mbold\n")
    TerminalPrinter(stream, coloured=True).task(Task.objects.get(pk=in_status("failed")), [printed])
    assert "\x1b[1mbold" in stream.getvalue()
    assert "✗" not in stream.getvalue()
