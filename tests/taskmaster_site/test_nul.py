"""An address with U+0000 is refused in words, whichever filter it is for."""

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
        "/admin/tasks/operation/?state=%00",
        "/admin/workers/worker/?status=%00",
        "/admin/tasks/task/?q=%00",
        "/admin/tasks/task/?queue=mail%00",
        "/admin/tasks/task/?status=mail%00",
        "/admin/tasks/task/?name=mail%00",
        "/admin/tasks/event/?queue=ma%00il",
        "/admin/auth/user/?username=%00",
    ],
)
def test_a_page_is_not_asked_for_with_a_nul(address: str) -> None:
    browser = Client(raise_request_exception=False)
    browser.force_login(User.objects.create_superuser("ada"))
    answer = browser.get(address)
    assert answer.status_code == 400
    assert b"U+0000" in answer.content


def test_the_api_names_the_field() -> None:
    browser = Client(raise_request_exception=False)
    browser.force_login(User.objects.create_superuser("ada"))
    answer = browser.get("/api/tasks/?queue=%00")
    assert answer.status_code in (200, 400)
    assert answer["Content-Type"] in ("application/json", "application/problem+json")
