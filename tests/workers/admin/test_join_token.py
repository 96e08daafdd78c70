"""Test join tokens in the admin: shown once, revoked, never changed or deleted."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from taskmaster.workers.models import JoinToken
from taskmaster.workers.security import tokens
from taskmaster.workers.security.tokens import digest
from tests.factories import user_with

pytestmark = pytest.mark.django_db
LIST = "/admin/taskmaster_workers/jointoken/"


def client(*permissions: str) -> tuple[Client, User]:
    user = user_with(*(f"taskmaster_workers.{each}_jointoken" for each in permissions))
    user.is_staff = True
    user.save()
    browser = Client()
    browser.force_login(user)
    return browser, user


def test_a_new_token_is_shown_once() -> None:
    browser, user = client("add", "view")
    answer = browser.post(f"{LIST}add/", {"name": "rack-7", "uses_left": "2"})
    [secret] = re.findall(rf"{tokens.PREFIX}[\w-]+", answer.content.decode())
    assert "no-store" in answer["Cache-Control"]
    row = JoinToken.objects.get()
    assert row.digest == digest(secret)
    assert (row.created_by, row.uses_left, row.expires_at) == (user, 2, None)
    for page in (LIST, f"{LIST}{row.pk}/change/", f"{LIST}{row.pk}/history/"):
        shown = browser.get(page, follow=True).content.decode()
        assert "rack-7" in shown
        assert secret not in shown
        assert row.digest not in shown


def test_invalid_input_is_named_and_creates_no_token() -> None:
    browser, _ = client("add", "view")
    tokens.create("taken")
    for given, rule in (
        ({"name": ""}, "This field is required."),
        ({"name": "taken"}, "already exists"),
        ({"name": "a", "uses_left": "0"}, "is 0; it must be from 1 to 1,000,000."),
        ({"name": "a", "uses_left": "-1"}, "greater than or equal to 0"),
        ({"name": "a", "expires_at_0": "2001-01-01", "expires_at_1": "00:00"}, "is in the past"),
    ):
        shown = browser.post(f"{LIST}add/", given).content.decode()
        assert rule in shown, given
        assert tokens.PREFIX not in shown
    assert JoinToken.objects.count() == 1


def test_revoking_needs_permission_and_tokens_cannot_be_changed_or_deleted() -> None:
    row = tokens.create("rack-7").row
    chosen = {"action": "revoke_tokens", "_selected_action": [row.pk]}
    reader, _ = client("view")
    assert "revoke_tokens" not in reader.get(LIST).content.decode()
    reader.post(LIST, chosen)
    assert reader.get(f"{LIST}add/").status_code == 403
    row.refresh_from_db()
    assert row.revoked_at is None
    browser, _ = client("view", "change", "delete")
    page = browser.post(LIST, chosen, follow=True).content.decode()
    assert "1 join token revoked." in page
    assert "was revoked on" in browser.post(LIST, chosen, follow=True).content.decode()
    row.refresh_from_db()
    assert row.revoked_at is not None
    page = f"{LIST}{row.pk}"
    assert browser.post(f"{page}/delete/").status_code == 403
    assert browser.post(f"{page}/change/", {"name": "other"}).status_code == 403
    assert JoinToken.objects.get().name == "rack-7"
