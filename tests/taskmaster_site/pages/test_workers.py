"""Test the buttons of a worker's card."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.factories import a_worker
from tests.taskmaster_site.pages.people import client, press, text

pytestmark = pytest.mark.django_db


def test_draining_is_confirmed_and_offers_undo() -> None:
    heron = a_worker()
    browser = client("view_worker", "change_worker")
    answer = press(browser, f"/workers/{heron.pk}/drain/")
    assert "heron is draining" in text(answer)
    assert f"/workers/{heron.pk}/undrain/" in text(answer)
    heron.refresh_from_db()
    assert heron.drain
    press(browser, f"/workers/{heron.pk}/undrain/")
    heron.refresh_from_db()
    assert not heron.drain


def test_killing_needs_its_own_permission() -> None:
    heron = a_worker()
    answer = press(client("view_worker", "change_worker"), f"/workers/{heron.pk}/kill/")
    assert answer.status_code == 403
    assert "taskmaster_workers.kill_worker" in text(answer)
    heron.refresh_from_db()
    assert heron.command == ""


@pytest.mark.parametrize(
    ("button", "permission"), [("stop", "change_worker"), ("kill", "kill_worker")]
)
def test_a_worker_command_is_confirmed(button: str, permission: str) -> None:
    heron = a_worker()
    assert (
        press(client("view_worker", permission), f"/workers/{heron.pk}/{button}/").status_code
        == 200
    )
    heron.refresh_from_db()
    assert heron.command == button


def test_an_offline_or_unknown_worker_is_refused_with_a_message() -> None:
    gone = a_worker(status="offline")
    browser = client("view_worker", "change_worker")
    assert press(browser, f"/workers/{gone.pk}/drain/").status_code == 409
    answer = press(browser, f"/workers/{uuid4()}/drain/")
    assert "There is no worker" in text(answer)
