"""Test `manage.py taskmaster export`, which writes tasks as JSON lines."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from taskmaster.tasks.cli import export as module
from taskmaster.tasks.models import Task, TaskOutput
from tests.factories import a_schedule, in_s, stored
from tests.tasks.api.people import client_with

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    """Run the action and return its output."""
    out = io.StringIO()
    call_command("taskmaster", "export", *arguments, stdout=out)
    return out.getvalue()


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def exported(*arguments: str) -> list[int]:
    """Return the ids of the exported tasks."""
    return [each["id"] for each in lines(run("-", *arguments))]


def test_the_lines_have_the_fields_of_rest_and_the_output_on_request(tmp_path: Path) -> None:
    [task_id] = stored(tags=("a",), kwargs='{"command": "echo ü"}')
    Task.objects.filter(pk=task_id).update(status="failed", errors=[{"class": "lost"}])
    TaskOutput.objects.create(
        task_id=task_id, lease=1, attempt=1, seq=1, stream="stdout", text="ü\n"
    )
    [line] = lines(run("-"))
    client = client_with("taskmaster_tasks.view_task")
    expected = client.get(f"/api/tasks/{task_id}/").json()
    del expected["reason"]
    assert line == expected
    path = tmp_path / "tasks.jsonl"
    assert run(str(path), "--with-output") == f"Exported 1 task to {path}.\n"
    [line] = lines(path.read_text())
    assert line.pop("output") == client.get(f"/api/tasks/{task_id}/output/").json()
    assert line == expected
    assert [each.name for each in tmp_path.iterdir()] == ["tasks.jsonl"]
    assert path.stat().st_mode & 0o077 == 0


def test_every_filter_selects() -> None:
    first, second = stored(2, queue="reports")
    [other] = stored(tags=("nightly",))
    Task.objects.filter(pk=first).update(status="complete", completed_at=in_s(-7_200))
    Task.objects.filter(pk=second).update(status="failed", failed_at=in_s(-60))
    hour_ago = in_s(-3_600).isoformat()
    assert exported() == [first, second, other]
    assert exported("--queue", "reports", "--status", "complete,failed") == [first, second]
    assert exported("--tag", "nightly") == [other]
    assert exported("--name", "shell", "--q", f"#{second}") == [second]
    assert exported("--finished-before", hour_ago) == [first]
    assert exported("--finished-after", hour_ago) == [second]
    assert exported("--created-before", hour_ago) == []
    schedule = a_schedule()
    Task.objects.filter(pk=other).update(schedule=schedule)
    assert exported("--schedule", schedule.name) == [other]


def test_no_query_reads_more_than_a_few_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RANGE", 7)
    monkeypatch.setattr(module, "_ROWS", 3)
    ids = stored(40)
    Task.objects.filter(pk__in=ids[5:30]).delete()
    Task.objects.filter(pk__in=ids[::2]).update(queue="reports")
    assert exported() == ids[:5] + ids[30:]
    assert exported("--queue", "reports") == ids[0:5:2] + ids[30::2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-", "--status", "done"], "--status: "),
        (["-", "--finished-before", "yesterday"], "--finished-before: must be a time with a time"),
        (["missing-folder/tasks"], "cannot be written: No such file or directory."),
        (["pyproject.toml"], "FILE: pyproject.toml exists; delete it, or choose another name."),
    ],
)
def test_bad_input_is_refused(arguments: list[str], message: str) -> None:
    stored()
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    assert message in str(caught.value)


def test_an_export_that_fails_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(2)

    def fail(*args: object, **options: object) -> str:
        raise RuntimeError

    monkeypatch.setattr(json, "dumps", fail)
    with pytest.raises(RuntimeError):
        run(str(tmp_path / "tasks.jsonl"))
    assert not list(tmp_path.iterdir())
