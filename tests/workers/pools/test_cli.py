"""Pools on the command line."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from workers.models import WorkerPool

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("taskmaster", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture(autouse=True)
def herons() -> WorkerPool:
    WorkerPool.objects.all().delete()
    return WorkerPool.objects.create(name="herons", desired=1, registered=1, maximum=10)


def test_a_pool_is_scaled(herons: WorkerPool) -> None:
    said = run("scale", "3", "--pool", "herons")
    assert said == "Pool herons shall have 3 workers; 1 there.\n"
    assert json.loads(run("scale", "2", "--pool", "herons", "--json"))["desired"] == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("11", "--pool", "herons"), "count: is 11; it must be a whole number from 0 to 10."),
        (("-1", "--pool", "herons"), "count: is -1"),
        (("2.5", "--pool", "herons"), "count: is '2.5'"),
        (("2",), "There is no pool default."),
    ],
)
def test_what_is_wrong_is_said_and_nothing_changes(arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError, match="^" + words.replace(".", r"\.")):
        run("scale", *arguments)
    assert WorkerPool.objects.get().desired == 1


def test_pools_are_listed_with_their_troubles(herons: WorkerPool) -> None:
    WorkerPool.objects.update(state="backing_off", last_log="no such module\nit says")
    assert run("pools") == (
        "herons: 1 of 1 there, 0 draining, backing off (local)\n  | no such module\n  | it says\n"
    )
    assert [pool["name"] for pool in json.loads(run("pools", "--json"))] == ["herons"]
