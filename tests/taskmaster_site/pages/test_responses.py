"""Requests for the API, for fragments and for pages."""

from __future__ import annotations

import pytest
from django.test import RequestFactory

from taskmaster.taskmaster_site.pages.responses import is_api, is_fragment, server_error, toast
from tests.taskmaster_site.pages.people import text


@pytest.mark.parametrize(
    ("url", "expected"), [("/api/tasks/", True), ("/", False), ("/unknown/", False)]
)
def test_a_request_for_the_api_is_known_before_its_view_is_found(url: str, expected: bool) -> None:
    assert is_api(RequestFactory().get(url)) is expected


def test_a_script_marks_its_requests() -> None:
    assert is_fragment(RequestFactory().get("/", headers={"HX-Request": "true"}))
    assert not is_fragment(RequestFactory().get("/"))


def test_an_error_is_json_for_the_api_and_html_for_a_page() -> None:
    api, page = (server_error(RequestFactory().get(url)) for url in ("/api/tasks/", "/"))
    assert (api.status_code, api.headers["Content-Type"]) == (500, "application/problem+json")
    assert page.status_code == 500
    assert "Internal error" in text(page)


def test_a_toast_shows_text_and_offers_to_undo() -> None:
    shown = text(toast(RequestFactory().get("/"), "<b> done", undo=("Undo", "/undo/")))
    assert "&lt;b&gt; done" in shown
    assert 'hx-post="/undo/"' in shown
    assert 'role="status"' in shown
    failed = toast(RequestFactory().get("/"), "failed", ok=False, status=409)
    assert failed.status_code == 409
    assert 'role="alert"' in text(failed)
