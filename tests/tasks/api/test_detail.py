"""Test GET of one task and of its output."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from rest_framework.test import APIClient

from taskmaster.tasks.models import Task, TaskOutput
from tests.factories import stored
from tests.tasks.api.people import assert_problem

ERROR = {
    "attempt": 1,
    "worker": "one",
    "at": "2030-01-01T00:00:00Z",
    "class": "raised",
    "exception": "ValueError",
    "message": "no",
    "traceback": "Traceback …",
}


def store_output(task_id: int, *chunks: tuple[int, str, str]) -> None:
    """Store output chunks of (attempt, stream, text), in this order."""
    TaskOutput.objects.bulk_create(
        TaskOutput(
            task_id=task_id, lease=attempt, attempt=attempt, seq=seq, stream=stream, text=text
        )
        for seq, (attempt, stream, text) in enumerate(chunks)
    )


def test_a_task_is_shown_with_all_fields(client: APIClient) -> None:
    task_id = stored(tags=("a", "b"))[0]
    Task.objects.filter(pk=task_id).update(
        status="complete", errors=[ERROR], result={"sum": [1, None, "ü"]}, worker="one", attempt=2
    )
    shown = client.get(f"/api/tasks/{task_id}/").json()
    assert shown["errors"] == [ERROR]
    assert shown["result"] == {"sum": [1, None, "ü"]}
    assert shown["tags"] == ["a", "b"]
    assert (shown["status"], shown["worker"], shown["attempt"]) == ("complete", "one", 2)
    assert shown["created_by"] is None


def test_a_task_of_a_deleted_user_is_shown(client: APIClient) -> None:
    task_id = stored()[0]
    Task.objects.filter(pk=task_id).update(created_by=999_999)
    assert client.get(f"/api/tasks/{task_id}/").json()["created_by"] is None


@pytest.mark.parametrize(
    "task_id",
    ["0", "999999999", str(2**63 - 1), str(2**63), "9" * 19, "9" * 30, "-1", "one", "1.5"],
)
@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("get", ""),
        ("patch", ""),
        ("get", "output/"),
        ("get", "output/?plain=1"),
        ("post", "cancel/"),
        ("post", "retry/"),
    ],
)
def test_an_unknown_id_is_not_found(
    client: APIClient, task_id: str, method: str, rest: str
) -> None:
    body = {"scheduled_at": "2090-01-01T00:00:00Z"} if method == "patch" else None
    response = getattr(client, method)(f"/api/tasks/{task_id}/{rest}", body, format="json")
    assert_problem(response, HTTPStatus.NOT_FOUND, task_id)


def test_output_is_shown_in_order(client: APIClient) -> None:
    task_id = stored()[0]
    store_output(task_id, (1, "stdout", "one\n"), (1, "log", "two\n"), (2, "stderr", "thrée\n"))
    shown = client.get(f"/api/tasks/{task_id}/output/").json()
    assert [(each["attempt"], each["seq"], each["stream"], each["text"]) for each in shown] == [
        (1, 0, "stdout", "one\n"),
        (1, 1, "log", "two\n"),
        (2, 2, "stderr", "thrée\n"),
    ]


def test_output_of_one_attempt_or_one_stream(client: APIClient) -> None:
    task_id = stored()[0]
    store_output(task_id, (1, "stdout", "a"), (1, "stderr", "b"), (2, "stdout", "c"))
    address = f"/api/tasks/{task_id}/output/?plain=1"
    assert client.get(address).content == b"abc"
    assert client.get(f"{address}&attempt=1").content == b"ab"
    assert client.get(f"{address}&stream=stdout").content == b"ac"
    assert client.get(f"{address}&stream=stdout&attempt=2").content == b"c"
    assert client.get(f"{address}&attempt=3").content == b""


def test_plain_output_is_served_as_text_that_browsers_do_not_execute(client: APIClient) -> None:
    task_id = stored()[0]
    store_output(task_id, (1, "stdout", "<script>alert(1)</script> ü"))
    response = client.get(f"/api/tasks/{task_id}/output/?plain=1")
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response.content.decode() == "<script>alert(1)</script> ü"


def test_a_task_that_printed_nothing_has_empty_output(client: APIClient) -> None:
    task_id = stored()[0]
    assert client.get(f"/api/tasks/{task_id}/output/").json() == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("attempt=0", "attempt"),
        ("attempt=one", "attempt"),
        ("attempt=99999999999", "attempt"),
        ("attempt=NaN", "attempt"),
        ("attempt=1.5", "attempt"),
        ("stream=stdin", "stream"),
        ("plain=yes", "plain"),
        ("tail=5", "tail"),
    ],
)
def test_an_invalid_query_of_output_is_refused_by_name(
    client: APIClient, query: str, field: str
) -> None:
    response = client.get(f"/api/tasks/{stored()[0]}/output/?{query}")
    assert_problem(response, HTTPStatus.BAD_REQUEST, field=field)


def test_the_pending_reason_is_shown_until_the_task_runs(client: APIClient) -> None:
    [task_id] = stored()
    reason = client.get(f"/api/tasks/{task_id}/").json()["reason"]
    assert reason == "No coordinator seems to be running: none has reported for 15 s."
    Task.objects.filter(pk=task_id).update(status="started")
    assert client.get(f"/api/tasks/{task_id}/").json()["reason"] is None
    assert "reason" not in client.get("/api/tasks/").json()["results"][0]
