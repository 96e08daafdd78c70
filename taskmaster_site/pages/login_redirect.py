"""Redirect a request without a valid session to the login page.

The login page is that of the project if it has one at LOGIN_URL, and TaskMaster's own otherwise.
"""

from __future__ import annotations

from urllib.parse import urlencode, urlunsplit

from django.conf import global_settings, settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.urls import is_valid_path, reverse

from taskmaster.taskmaster_site.pages.responses import current_url, is_fragment

#: Query parameter that names the reason for a login, and its values.
REASON, SESSION_ENDED, LOGGED_OUT = "reason", "session-ended", "logged-out"


def login_url(reason: str = "") -> str:
    """Return the URL of the login page. TaskMaster's own page shows the reason."""
    is_default = settings.LOGIN_URL == global_settings.LOGIN_URL
    own = reverse("taskmaster:login")
    if is_default and not is_valid_path(settings.LOGIN_URL):
        url = own
    else:
        url = resolve_url(settings.LOGIN_URL)
    return f"{url}?{urlencode({REASON: reason})}" if reason and url == own else url


def request_login(request: HttpRequest) -> HttpResponse:
    """Redirect to the login page. A script gets 401 with HX-Redirect, which moves the window."""
    url = login_url(SESSION_ENDED if _session_ended(request) else "")
    dashboard = reverse("taskmaster:dashboard")
    if not is_fragment(request):
        # Other methods than these cannot be repeated after the login.
        is_page = request.method in ("GET", "HEAD")
        return redirect_to_login(request.get_full_path() if is_page else dashboard, url)
    page = current_url(request)
    path = urlunsplit(("", "", page.path or dashboard, page.query, ""))
    target = redirect_to_login(path, url).url
    return HttpResponse(status=401, headers={"HX-Redirect": target})


def _session_ended(request: HttpRequest) -> bool:
    """Return whether the request names a session that does not exist any more.

    The scripts run only on pages for logged-in users. Their requests may have no cookie any more:
    Django deletes it with the first response after the end, such as that of the event stream.
    """
    if is_fragment(request):
        return True
    return settings.SESSION_COOKIE_NAME in request.COOKIES and request.session.is_empty()
