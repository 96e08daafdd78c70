"""Log users in and out. These pages need no staff status, unlike those of Django's admin."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import resolve_url
from django.urls import Resolver404, get_script_prefix, resolve, reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables
from rest_framework.exceptions import Throttled

from taskmaster.taskmaster_site.pages.login_redirect import (
    LOGGED_OUT,
    REASON,
    SESSION_ENDED,
    login_url,
)
from taskmaster.tasks.api.login import PER_USER, PERIOD_S, Login, client_address

#: Maximum size of a login form in bytes: user name, password, and the URL of the next page.
_BODY_MAX = 16_384
_FORM = "application/x-www-form-urlencoded"
_MINUTES = PERIOD_S // 60

_admin_login = admin.site.login
#: Descriptions of the pages that a login can lead to, by URL name. Other pages are named by path.
_PAGES = {"taskmaster:dashboard": "the dashboard", "taskmaster:task": "task {task_id}"}


class LoginForm(AuthenticationForm):
    """Check name and password, within the same limits of failed logins as the API."""

    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": (
            "User name or password is wrong. "
            f"After {PER_USER} failed logins there is a pause of {_MINUTES} minutes."
        ),
        "throttled": f"Too many failed logins. Try again in {_MINUTES} minutes.",
    }

    request: HttpRequest

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        if self.is_bound:
            # The name of the refused login stays, its password does not.
            self.fields["username"].widget.attrs.pop("autofocus", None)
            self.fields["password"].widget.attrs["autofocus"] = True

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        """Authenticate the user. Raise ValidationError, with one text for name and password."""
        if self.errors:
            return self.cleaned_data
        login = Login(client_address(self.request), self.cleaned_data["username"])
        try:
            login.take()
        except Throttled:
            raise ValidationError(self.error_messages["throttled"], "throttled") from None
        try:
            cleaned: dict[str, Any] = super().clean()
        except ValidationError as error:
            login.failed(str(error.code))
            raise
        login.succeeded()
        return cleaned


class AdminLoginForm(LoginForm, AdminAuthenticationForm):
    """Check name, password and staff status, within the same limits."""

    error_messages = {
        **LoginForm.error_messages,
        "invalid_login": AdminAuthenticationForm.error_messages["invalid_login"],
    }


class LoginPage(LoginView):
    """Show why a login is needed and where it leads; log the user in."""

    form_class = LoginForm
    template_name = "taskmaster/login.html"
    next_page = "taskmaster:dashboard"
    redirect_authenticated_user = True

    def get_redirect_url(self, *args: Any, **kwargs: Any) -> str:
        """Return the URL of `next` if it is a page of this site that a user can return to."""
        url: str = super().get_redirect_url(*args, **kwargs)
        own = (reverse("taskmaster:login"), reverse("taskmaster:logout"))
        return "" if urlsplit(url).path in own else url

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the reason for the login and the page that follows."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        return {
            **context,
            "session_ended": self.request.GET.get(REASON) == SESSION_ENDED,
            "logged_out": self.request.GET.get(REASON) == LOGGED_OUT,
            "destination": _describe(context["next"]),
        }

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Show the form again, with 429 for a login that was refused without a check."""
        return _refused_if_throttled(super().form_invalid(form), form)


@login_not_required
def admin_login(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
    """Serve the admin's login page, with 429 for a login that was refused without a check."""
    response = _admin_login(request, extra_context)
    form = getattr(response, "context_data", {}).get("form")
    return response if form is None else _refused_if_throttled(response, form)


def _refused_if_throttled(response: HttpResponse, form: AuthenticationForm) -> HttpResponse:
    if form.has_error(NON_FIELD_ERRORS, "throttled"):
        response.status_code = HTTPStatus.TOO_MANY_REQUESTS
        response.headers["Retry-After"] = str(PERIOD_S)
    return response


class LogoutPage(LogoutView):
    """End the session of a POST request."""

    def get_success_url(self) -> str:
        """Return the project's page for users who have logged out, or the login page."""
        if settings.LOGOUT_REDIRECT_URL:
            return resolve_url(settings.LOGOUT_REDIRECT_URL)
        return login_url(LOGGED_OUT)


def _limit_body(
    view: Callable[..., HttpResponseBase],
) -> Callable[..., HttpResponseBase]:
    """Refuse other bodies than short forms before they are parsed: anyone may send one."""

    @wraps(view)
    def limited(request: HttpRequest) -> HttpResponseBase:
        if request.method == "POST":
            length = str(request.META.get("CONTENT_LENGTH") or "")
            if request.content_type != _FORM:
                return HttpResponse(status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
            if not length.isdecimal():
                return HttpResponse(status=HTTPStatus.LENGTH_REQUIRED)
            if int(length) > _BODY_MAX:
                return HttpResponse(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return view(request)

    return limited


def _describe(url: str) -> str:
    """Return a description of a page of this site, or an empty string for no URL."""
    if not url:
        return ""
    path = urlsplit(url).path
    try:
        match = resolve(f"/{path.removeprefix(get_script_prefix())}")
    except Resolver404:
        return path
    name = _PAGES.get(match.view_name)
    return name.format(**match.kwargs) if name else path


# The middleware would parse the body before its size is checked. LoginView checks the CSRF token
# itself.
login = csrf_exempt(_limit_body(LoginPage.as_view()))
logout = LogoutPage.as_view()
