"""Who may see a page or press a button: a login page, a page that says what is missing, or it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render, resolve_url

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def is_fragment(request: HttpRequest) -> bool:
    """Whether a script asks, which puts the answer into the page that is shown."""
    return request.headers.get("HX-Request") == "true"


def needs(permission: str) -> Callable[[View[P]], View[P]]:
    """A view for users with this permission: `app.codename`."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if not request.user.is_authenticated:
                return _log_in(request)
            if not request.user.has_perm(permission):
                return _not_allowed(request, permission)
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def _log_in(request: HttpRequest) -> HttpResponse:
    """The login page; a script is told with 401 to bring the whole window there."""
    if not is_fragment(request):
        return redirect_to_login(request.get_full_path())
    shown = request.headers.get("HX-Current-URL", "/")
    where = redirect_to_login(shown, resolve_url(settings.LOGIN_URL)).url
    return HttpResponse(status=401, headers={"HX-Redirect": where})


def _not_allowed(request: HttpRequest, permission: str) -> HttpResponse:
    if is_fragment(request):
        text = f"This needs the permission {permission}, which you do not have."
        return toast(request, text, ok=False, status=403)
    return render(request, "taskmaster/not_allowed.html", {"permission": permission}, status=403)


def toast(
    request: HttpRequest,
    text: str,
    *,
    ok: bool = True,
    status: int = 200,
    undo: tuple[str, str] | None = None,
) -> HttpResponse:
    """A line in the corner, whatever was asked for. `undo`: a button's word and its URL."""
    context = {"text": text, "ok": ok, "undo": undo}
    answer = render(request, "taskmaster/toast.html", context, status=status)
    # Whatever the button's own target was.
    answer.headers["HX-Retarget"] = "#toasts"
    answer.headers["HX-Reswap"] = "afterbegin"
    return answer
