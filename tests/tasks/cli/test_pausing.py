"""Test `manage.py taskmaster pause`, `resume` and `pauses`."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from taskmaster.tasks.models import Pause
from tests.factories import stored

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    """Run the command and return its output."""
    out = io.StringIO()
    call_command("taskmaster", *arguments, stdout=out)
    return out.getvalue()


def refused(*arguments: str) -> str:
    """Run the command, which must fail, and return the message."""
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    return str(caught.value)


def test_what_is_paused_is_listed_shown_with_a_task_and_resumed() -> None:
    assert run("pauses") == "Nothing is paused.\n"
    reason = ("--reason", "the server moves")
    assert run("pause", "--queue", "mail", *reason) == "The queue mail is paused.\n"
    assert run("pause", "--name", "shell", *reason) == "The task name shell is paused.\n"
    assert run("pause", "--everything", *reason) == "Everything is paused.\n"
    lines = run("pauses").splitlines()
    assert [line.partition(" is paused since ")[0] for line in lines] == [
        "Everything", "The task name `shell`", "The queue `mail`"
    ]  # fmt: skip
    [task_id] = stored(queue="mail")
    assert lines[0] in run("show", str(task_id))
    assert run("resume", "--everything") == "Everything is resumed.\n"
    assert lines[2].replace("`", "'") in run("show", str(task_id))
    [name, queue] = json.loads(run("pauses", "--json"))
    assert (name["kind"], queue["target"]) == ("name", "mail")
    assert json.loads(run("resume", "--queue", "mail", "--json"))["reason"] == "the server moves"
    assert Pause.objects.get().kind == "name"


def test_errors_name_the_option() -> None:
    assert refused("resume", "--queue", "mail") == "The queue mail is not paused."
    assert refused("pause", "--queue", "a b", "--reason", "x").startswith("--queue: is 'a b'; ")
    assert refused("pause", "--name", "no.such", "--reason", "x").startswith("--name: 'no.such' is")
    assert refused("pause", "--everything", "--reason", "x" * 301).startswith("--reason: has 301")
    assert "--reason" in refused("pause", "--everything")
    assert "not allowed with" in refused("pause", "--everything", "--queue", "a", "--reason", "x")
    assert not Pause.objects.exists()
