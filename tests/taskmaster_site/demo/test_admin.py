"""Test the admin user of the demo."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from taskmaster.taskmaster_site.demo import admin

pytestmark = pytest.mark.django_db


def test_the_user_is_created_once() -> None:
    password = admin.create()
    assert password is not None
    user = User.objects.get(username=admin.USER)
    assert user.is_superuser
    assert user.check_password(password)
    assert admin.create() is None


def test_a_new_password_replaces_the_old_one() -> None:
    first = admin.set_password()
    second = admin.set_password()
    user = User.objects.get(username=admin.USER)
    assert user.check_password(second)
    assert not user.check_password(first)
