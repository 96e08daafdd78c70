"""Test /api/pauses/."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from taskmaster.tasks.models import Pause
from taskmaster.tasks.permissions import ADD, PAUSE_QUEUE, VIEW, VIEW_SCHEDULE
from taskmaster.tasks.policies import pausing
from tests.factories import stored
from tests.tasks.api.people import assert_problem, client_with

pytestmark = pytest.mark.django_db

URL = "/api/pauses/"


def test_a_queue_is_paused_listed_and_resumed() -> None:
    client = client_with(VIEW, PAUSE_QUEUE)
    body = {"kind": "queue", "target": "mail", "reason": "the server moves"}
    made = client.post(URL, body, "json")
    assert made.status_code == HTTPStatus.CREATED, made.content
    shown = made.json()
    assert {name: shown[name] for name in body} == body
    assert shown["paused_by"] == Pause.objects.get().paused_by != ""
    [task_id] = stored(queue="mail")
    reason = client.get(f"/api/tasks/{task_id}/").json()["reason"]
    assert reason.startswith("The queue `mail` is paused by ")
    assert reason.endswith(": the server moves")
    listed = client.get(URL)
    assert listed.json()["results"] == [shown]
    unchanged = client.get(URL, headers={"If-None-Match": listed["ETag"]})
    assert unchanged.status_code == HTTPStatus.NOT_MODIFIED
    assert_problem(client.post(URL, body, "json"), HTTPStatus.CONFLICT, "is paused by", "Resume it")
    assert client.delete(made["Location"]).status_code == HTTPStatus.NO_CONTENT
    assert client.get(URL).json()["results"] == []
    assert_problem(client.delete(made["Location"]), HTTPStatus.NOT_FOUND, "There is no pause")


def test_an_invalid_pause_is_refused_with_the_rule() -> None:
    client = client_with(VIEW, PAUSE_QUEUE)
    for body, field, rule in (
        ({"kind": "queue", "target": "a b"}, "target", "it may contain only letters"),
        ({"target": "mail"}, "kind", "it must be everything, queue or name."),
        ({"kind": "queue", "queue": "mail"}, "queue", "unknown field; valid fields are kind"),
        ({"kind": "name", "target": "no.such"}, "target", "is not a registered task"),
    ):
        answer = client.post(URL, body, "json")
        assert_problem(answer, HTTPStatus.BAD_REQUEST, rule, field=field)
    assert not Pause.objects.exists()


def test_pauses_are_shown_only_to_users_who_may_view_tasks() -> None:
    made = pausing.pause("queue", "mail", "secret reason", user=None)
    body = {"kind": "queue", "target": "mail"}
    for permissions in ((), (ADD, VIEW_SCHEDULE), (PAUSE_QUEUE,)):
        client = client_with(*permissions)
        for answer in (
            client.get(URL),
            client.post(URL, body, "json"),
            client.delete(f"{URL}{made.pk}/"),
            client.delete(f"{URL}{made.pk + 1}/"),
        ):
            text = assert_problem(answer, HTTPStatus.FORBIDDEN)["detail"]
            assert "secret" not in text
    assert Pause.objects.count() == 1
