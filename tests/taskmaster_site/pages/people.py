"""Browsers of people with some permissions."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission, User
from django.http import HttpResponse
from django.test import Client


def client(*permissions: str) -> Client:
    """A browser of somebody who is logged in and has these permissions."""
    user = User.objects.create_user("eve")
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    browser = Client()
    browser.force_login(user)
    return browser


def press(browser: Client, url: str, **fields: Any) -> HttpResponse:
    """What a button of the page does."""
    return browser.post(url, fields, headers={"HX-Request": "true"})  # type: ignore[return-value]


def text(answer: Any) -> str:
    """The body."""
    return str(answer.content.decode())
