"""Test the admin of pauses."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from taskmaster.tasks.models import Pause
from taskmaster.tasks.permissions import PAUSE_QUEUE, VIEW
from taskmaster.tasks.policies import pausing
from tests.factories import user_with

pytestmark = pytest.mark.django_db

URL = "/admin/taskmaster_tasks/pause/"


def test_pauses_are_listed_and_resumed_by_who_may() -> None:
    made = pausing.pause("queue", "mail", "the server moves", user=None)
    action = {"action": "resume_selected", "_selected_action": [made.pk]}
    for permissions, may_resume in (((VIEW,), False), ((VIEW, PAUSE_QUEUE), True)):
        user = user_with(*permissions)
        User.objects.filter(pk=user.pk).update(is_staff=True)
        browser = Client()
        browser.force_login(user)
        page = browser.get(URL).content.decode()
        assert "the queue mail" in page
        assert "the server moves" in page
        assert ("resume_selected" in page) == may_resume
        browser.post(URL, action)
        assert Pause.objects.exists() != may_resume
