"""Test that a URL with U+0000 is refused with a message, for every filter."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "address",
    [
        "/?q=%00",
        "/?queue=a%00b",
        "/admin/taskmaster_tasks/operation/?state=%00",
        "/admin/taskmaster_workers/worker/?status=%00",
        "/admin/taskmaster_tasks/task/?q=%00",
        "/admin/taskmaster_tasks/task/?queue=mail%00",
        "/admin/taskmaster_tasks/task/?status=mail%00",
        "/admin/taskmaster_tasks/task/?name=mail%00",
        "/admin/taskmaster_tasks/event/?queue=ma%00il",
        "/admin/auth/user/?username=%00",
    ],
)
def test_a_page_refuses_a_nul(address: str) -> None:
    browser = Client(raise_request_exception=False)
    browser.force_login(User.objects.create_superuser("ada"))
    answer = browser.get(address)
    assert answer.status_code == 400
    assert b"U+0000" in answer.content


def test_the_api_names_the_field_with_a_nul() -> None:
    browser = Client(raise_request_exception=False)
    browser.force_login(User.objects.create_superuser("ada"))
    answer = browser.get("/api/tasks/?queue=%00")
    assert answer.status_code in (200, 400)
    assert answer["Content-Type"] in ("application/json", "application/problem+json")


@pytest.mark.parametrize(("address", "expected"), [("/", True), ("/api/docs/", False)])
def test_pages_have_a_content_security_policy_and_the_api_has_none(
    address: str, expected: bool
) -> None:
    answer = Client().get(address)
    assert ("Content-Security-Policy" in answer.headers) is expected
