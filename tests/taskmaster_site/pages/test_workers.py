"""The buttons of a worker's card."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.taskmaster_site.pages.people import client, press, text
from workers.models import Worker

pytestmark = pytest.mark.django_db


def worker(**fields: object) -> Worker:
    return Worker.objects.create(
        id=uuid4(), name="heron", host="h", pid=1, pool="process", slots=4, **fields
    )


def test_draining_is_said_and_offers_the_way_back() -> None:
    heron = worker()
    browser = client("change_worker")
    answer = press(browser, f"/workers/{heron.pk}/drain/")
    assert "heron takes nothing new" in text(answer)
    assert f"/workers/{heron.pk}/undrain/" in text(answer)
    heron.refresh_from_db()
    assert heron.drain
    press(browser, f"/workers/{heron.pk}/undrain/")
    heron.refresh_from_db()
    assert not heron.drain


def test_killing_needs_a_permission_of_its_own() -> None:
    heron = worker()
    answer = press(client("change_worker"), f"/workers/{heron.pk}/kill/")
    assert answer.status_code == 403
    assert "workers.kill_worker" in text(answer)
    heron.refresh_from_db()
    assert heron.command == ""


@pytest.mark.parametrize(
    ("button", "permission"), [("stop", "change_worker"), ("kill", "kill_worker")]
)
def test_a_worker_is_told_to(button: str, permission: str) -> None:
    heron = worker()
    assert press(client(permission), f"/workers/{heron.pk}/{button}/").status_code == 200
    heron.refresh_from_db()
    assert heron.command == button


def test_what_is_offline_or_unknown_is_refused_in_words() -> None:
    gone = worker(status="offline")
    browser = client("change_worker")
    assert press(browser, f"/workers/{gone.pk}/drain/").status_code == 409
    answer = press(browser, f"/workers/{uuid4()}/drain/")
    assert "There is no worker" in text(answer)
