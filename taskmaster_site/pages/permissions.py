"""Check the permissions of pages and buttons.

A user who is not logged in gets the login page. A user without the permission gets a page that
names it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from taskmaster.roles import roles_with
from taskmaster.taskmaster_site.pages.login_redirect import request_login
from taskmaster.taskmaster_site.pages.responses import is_fragment, toast

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def needs(*permissions: str) -> Callable[[View[P]], View[P]]:
    """Return a decorator that requires permissions, given as `app.codename`."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if not request.user.is_authenticated:
                return request_login(request)
            for permission in permissions:
                if not request.user.has_perm(permission):
                    return _forbidden(request, permission)
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def _forbidden(request: HttpRequest, permission: str) -> HttpResponse:
    if is_fragment(request):
        text = f"Permission denied: this action requires {permission}, which you do not have."
        return toast(request, text, ok=False, status=403)
    context = {"permission": permission, "roles": roles_with(permission)}
    return render(request, "taskmaster/not_allowed.html", context, status=403)
