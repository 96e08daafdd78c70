"""Browsers of users with given permissions."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission, User
from django.http import HttpResponse
from django.test import Client


def client(*permissions: str) -> Client:
    """Return a browser that is logged in as a user with these permissions."""
    user = User.objects.create_user("eve")
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    browser = Client()
    browser.force_login(user)
    return browser


def press(browser: Client, url: str, **fields: Any) -> HttpResponse:
    """Press a button of the page."""
    return browser.post(url, fields, headers={"HX-Request": "true"})  # type: ignore[return-value]


def text(answer: Any) -> str:
    """Return the body of the response."""
    return str(answer.content.decode())
