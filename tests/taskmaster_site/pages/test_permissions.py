"""Permissions of pages and buttons."""

from __future__ import annotations

import pytest
from django.http import HttpRequest, HttpResponse

from taskmaster.taskmaster_site.pages.permissions import needs
from tests.taskmaster_site.pages.people import client, text

pytestmark = pytest.mark.django_db
SCRIPT = {"HX-Request": "true"}


def test_a_view_keeps_its_name() -> None:
    @needs("taskmaster_tasks.view_task")
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    assert view.__name__ == "view"


def test_a_page_without_the_permission_names_it() -> None:
    answer = client().get("/")
    assert answer.status_code == 403
    assert "requires the permission <code>taskmaster_tasks.view_task</code>" in text(answer)


def test_a_script_without_the_permission_gets_a_toast() -> None:
    answer = client().get("/tasks/", headers=SCRIPT)
    assert answer.status_code == 403
    assert answer.headers["HX-Retarget"] == "#toasts"
    assert "Permission denied: this action requires taskmaster_tasks.view_task" in text(answer)
