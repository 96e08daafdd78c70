"""Test GET /api/tasks/?q=, which searches names, arguments and tags of the newest tasks."""

from __future__ import annotations

import random
from http import HTTPStatus
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.db import connection
from rest_framework.test import APIClient

from taskmaster.tasks.models import Task
from taskmaster.tasks.queries.search import REACH, search
from tests.factories import stored
from tests.tasks.api.people import assert_problem

URL = "/api/tasks/"


def ids(client: APIClient, **query: object) -> list[int]:
    response = client.get(f"{URL}?{urlencode(query)}")
    assert response.status_code == HTTPStatus.OK, response.content
    return [task["id"] for task in response.json()["results"]]


@pytest.mark.parametrize(
    "q",
    [
        "Müller",
        "müller",
        "examples.tasks.re",
        "customer",
        "urgent",
        "mail",
        "worker-7",
        "4711-b",
        'say "no"',
        "back\\slash",
        "100%",
        "urgent müller",
        "  müller   urgent ",
        "TimeoutError",
        "shop.mail.timeout",
        "no answer within",
        "müller answer",
    ],
)
def test_a_word_is_found_in_every_searched_field(client: APIClient, q: str) -> None:
    [wanted] = stored(
        name="examples.tasks.resize",
        args='["4711-B", "say \\"no\\"", "back\\\\slash", "100%"]',
        kwargs='{"customer": "Müller"}',
        tags=("urgent",),
        queue="mail",
    )
    error = {
        "class": "raised",
        "exception": "shop.mail.TimeoutError",
        "message": "no answer within 5 s",
    }
    Task.objects.filter(pk=wanted).update(worker="worker-7", errors=[error])
    stored(name="examples.tasks.add", kwargs='{"amount": "100 euros"}', tags=("urgently",))
    assert ids(client, q=q) == [wanted]


def test_all_words_must_match(client: APIClient) -> None:
    stored(tags=("urgent",))
    assert ids(client, q="urgent missing") == []


def test_a_search_can_be_combined_with_filters(client: APIClient) -> None:
    stored(tags=("urgent",))
    [mail] = stored(tags=("urgent",), queue="mail")
    assert ids(client, q="urgent", queue="mail") == [mail]
    assert ids(client, q="urgent", status="failed") == []


def test_digits_match_an_id_and_texts_that_contain_them(client: APIClient) -> None:
    first, _ = stored(2)
    [holding] = stored(kwargs=f'{{"of": "x{first}y"}}')
    assert ids(client, q=first) == [holding, first]
    assert ids(client, q="9" * 40) == []


def test_a_number_sign_matches_exactly_one_id(client: APIClient) -> None:
    first, _ = stored(2)
    stored(kwargs=f'{{"of": "#{first}"}}')
    assert ids(client, q=f"#{first}") == ids(client, q=f"shell #{first}") == [first]
    assert ids(client, q=f"missing #{first}") == ids(client, q="#" + "9" * 30) == []
    assert ids(client, q=f"#{first} #{first + 1}") == []


def test_a_search_finds_the_tasks_of_a_user_by_the_whole_name(client: APIClient) -> None:
    mine, other = stored(2)
    for name, task in ("maria", mine), ("mariana", other):
        Task.objects.filter(pk=task).update(created_by=User.objects.create_user(name))
    assert ids(client, q="maria") == ids(client, q="shell maria") == [mine]
    assert ids(client, q="mari") == []


def test_an_error_is_found_after_a_later_attempt_was_complete(client: APIClient) -> None:
    [task] = stored()
    error = {"class": "raised", "exception": "builtins.OSError", "message": "x"}
    Task.objects.filter(pk=task).update(status="complete", errors=[error])
    assert ids(client, q="OSError") == [task]


def test_only_the_newest_tasks_are_searched_but_ids_of_all(client: APIClient) -> None:
    old, edge = stored(2, tags=("nightly",))
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval('taskmaster_tasks_task_id_seq', %s)", [edge + REACH - 2])
    [newest] = stored()
    assert newest - REACH == old
    assert ids(client, q="nightly") == [edge]
    assert (
        ids(client, q=old) == ids(client, q=f"#{old}") == ids(client, q=f"#{old} nightly") == [old]
    )


def test_a_search_with_a_start_id_keeps_its_range(db: None) -> None:
    [old] = stored(tags=("nightly",))
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval('taskmaster_tasks_task_id_seq', %s)", [old + REACH])
    stored()
    assert not search(Task.objects.all(), "nightly").exists()
    assert search(Task.objects.all(), "nightly", newest=old).get().pk == old


def test_large_arguments_are_not_searched(client: APIClient) -> None:
    noise = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz", k=20_000))
    stored(kwargs=f'{{"needle": "{noise}"}}')
    assert ids(client, q="needle") == []


@pytest.mark.parametrize(
    ("q", "message"), [("x" * 201, "at most 200"), ("a\0b", "Null characters")]
)
def test_a_text_that_cannot_be_searched_is_refused(client: APIClient, q: str, message: str) -> None:
    answer = client.get(f"{URL}?{urlencode({'q': q})}")
    assert_problem(answer, HTTPStatus.BAD_REQUEST, message, field="q")


def test_an_id_is_always_looked_up_by_the_primary_key(db: None) -> None:
    stored(3)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = search(Task.objects.order_by("-pk"), "7")[:25].explain()
    assert "Filter: ((id = 7)" not in plan, plan
    assert "Index Cond" in plan, plan
