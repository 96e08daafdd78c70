"""Check the permissions of pages and buttons.

A user who is not logged in gets the login page. A user without the permission gets a page that
names it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render, resolve_url
from django.urls import reverse

from taskmaster.taskmaster_site.pages.responses import is_fragment, toast

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def needs(*permissions: str) -> Callable[[View[P]], View[P]]:
    """Return a decorator that requires permissions, given as `app.codename`."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if not request.user.is_authenticated:
                return _log_in(request)
            for permission in permissions:
                if not request.user.has_perm(permission):
                    return _forbidden(request, permission)
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def _log_in(request: HttpRequest) -> HttpResponse:
    """Redirect to the login page. A script gets 401 with HX-Redirect, which moves the window."""
    if not is_fragment(request):
        return redirect_to_login(request.get_full_path())
    page_url = request.headers.get("HX-Current-URL", reverse("taskmaster:dashboard"))
    login_url = redirect_to_login(page_url, resolve_url(settings.LOGIN_URL)).url
    return HttpResponse(status=401, headers={"HX-Redirect": login_url})


def _forbidden(request: HttpRequest, permission: str) -> HttpResponse:
    if is_fragment(request):
        text = f"Permission denied: this action requires {permission}, which you do not have."
        return toast(request, text, ok=False, status=403)
    return render(request, "taskmaster/not_allowed.html", {"permission": permission}, status=403)
