"""Test the list of workers on the command line."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.factories import a_worker

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("taskmaster", *arguments, stdout=out)
    return out.getvalue()


def names(*arguments: str) -> list[str]:
    """Return the names of the listed workers, in order."""
    return [worker["name"] for worker in json.loads(run("workers", "--json", *arguments))]


def fleet() -> None:
    """Store workers of every status, the oldest first."""
    now = timezone.now()
    for age, (name, status, pool) in enumerate(
        (
            ("late", "offline", ""),
            ("stork", "online", "birds"),
            ("crane", "draining", "birds"),
            ("gone", "offline", "birds"),
            ("heron", "online", ""),
        )
    ):
        a_worker(name, status=status, pool=pool, registered_at=now + timedelta(seconds=age))


def test_online_workers_come_first_then_draining_then_offline_ones_the_newest_first() -> None:
    fleet()
    assert names() == ["heron", "stork", "crane", "gone", "late"]
    assert names("--limit", "2") == ["heron", "stork"]


def test_workers_are_filtered_by_status_and_pool() -> None:
    fleet()
    assert names("--status", "online,draining") == ["heron", "stork", "crane"]
    assert names("--pool", "birds", "--status", "offline") == ["gone"]


def test_a_row_has_the_figures_and_how_the_worker_ended() -> None:
    worker = a_worker(
        "heron", status="offline", ended="lost", pool="birds", tasks_done=4, tasks_failed=1
    )
    head, row = run("workers").splitlines()
    assert head.split() == [
        *("ID", "STATUS", "NAME", "POOL", "EXECUTOR", "BUSY", "DONE", "FAILED", "SEEN", "REMARK")
    ]
    cells = row.split()
    assert cells[:8] == [
        *(str(worker.pk)[:8], "offline", "heron", "birds", "thread", "0/4", "4", "1")
    ]
    assert row.endswith("  lost: it sent no last heartbeat")


def test_a_name_cannot_control_the_terminal() -> None:
    a_worker("a\x1b[31mb")
    assert "a·[31mb" in run("workers")


def test_an_empty_list_says_so() -> None:
    assert run("workers") == "No workers.\n"
    assert run("workers", "--pool", "birds") == "No workers match.\n"


def test_an_unknown_status_is_named() -> None:
    with pytest.raises(CommandError, match="--status: is 'busy'; it must be one of online"):
        run("workers", "--status", "online,busy")


def test_a_short_id_tells_workers_of_the_same_name_apart() -> None:
    first, second = a_worker("heron"), a_worker("heron")
    with pytest.raises(CommandError, match="several workers are named 'heron'"):
        run("drain", "heron")
    run("drain", second.short_id)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.drain, second.drain) == (False, True)
