"""Open pages of the admin as a user with given permissions."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission, User
from django.test import Client

LIST = "/admin/taskmaster_tasks/task/"


def client(*permissions: str) -> Client:
    user = User.objects.create_user("operator", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    browser = Client()
    browser.force_login(user)
    return browser


def page(answer: Any) -> str:
    return str(answer.content.decode())
