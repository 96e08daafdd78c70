"""Who comes with a WebSocket, and from which page."""

from __future__ import annotations

from http.cookies import CookieError
from typing import Any, Literal
from urllib.parse import urlsplit

from django.conf import settings
from django.http import parse_cookie
from django.http.request import split_domain_port, validate_host

Scope = dict[str, Any]
#: By what somebody proves who it is, as `tasks.events.grant` has it.
Credential = tuple[Literal["session", "token"], str]
_SCHEME = "token "
_PORTS = {"http": "80", "https": "443"}


def credential(scope: Scope) -> Credential | None:
    """The token of the header `Authorization`, or the session of the cookie; None without both."""
    header = _header(scope, b"authorization")
    if header[: len(_SCHEME)].lower() == _SCHEME:
        return "token", header[len(_SCHEME) :].strip()
    try:
        key = parse_cookie(_header(scope, b"cookie")).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return None
    return ("session", key) if key else None


def comes_from_here(scope: Scope) -> bool:
    """Whether the page that opens it is this site's own.

    A browser sends the session's cookie to whatever page asks, and says which one in `Origin`. Who
    sends a token is no browser and needs none.
    """
    host, origin = _header(scope, b"host").lower(), _header(scope, b"origin")
    domain, _ = split_domain_port(host)
    if not domain or not validate_host(domain, settings.ALLOWED_HOSTS or ["localhost"]):
        return False
    if not origin:
        found = credential(scope)
        return found is None or found[0] == "token"
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    try:
        page = urlsplit(origin.lower())
        default = _PORTS.get(page.scheme)
        return default is not None and _whole(page.netloc, default) == _whole(host, default)
    except ValueError:
        return False


def _whole(netloc: str, port: str) -> str:
    domain, given = split_domain_port(netloc)
    return f"{domain}:{given or port}"


def _header(scope: Scope, name: bytes) -> str:
    value: bytes = next((value for key, value in scope["headers"] if key.lower() == name), b"")
    # Nothing that is stored has U+0000, and PostgreSQL takes none.
    return value.decode("latin1").replace("\0", "\N{REPLACEMENT CHARACTER}")
