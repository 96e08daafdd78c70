"""Test pools on the command line."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from taskmaster.workers.models import WorkerPool

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
    output = run("scale", "3", "--pool", "herons")
    assert output == "Pool herons scaled to 3 workers; 1 registered.\n"
    assert json.loads(run("scale", "2", "--pool", "herons", "--json"))["desired"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("11", "--pool", "herons"), "N: is 11; it must be a whole number from 0 to 10."),
        (("-1", "--pool", "herons"), "N: is -1"),
        (("2.5", "--pool", "herons"), "N: is '2.5'"),
        (("2",), "There is no pool default."),
    ],
)
def test_invalid_arguments_are_explained_and_change_nothing(
    arguments: list[str], message: str
) -> None:
    with pytest.raises(CommandError, match="^" + message.replace(".", r"\.")):
        run("scale", *arguments)
    assert WorkerPool.objects.get().desired == 1


def test_pools_are_listed_with_their_errors(herons: WorkerPool) -> None:
    WorkerPool.objects.update(state="backing_off", last_log="no such module\nit says")
    assert run("pools") == (
        "herons: 1 of 1 registered, 0 draining, backing off (local)\n"
        "  | no such module\n  | it says\n"
    )
    assert [pool["name"] for pool in json.loads(run("pools", "--json"))] == ["herons"]
