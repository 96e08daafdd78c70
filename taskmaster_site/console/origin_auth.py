"""Find the credential and check the origin of a WebSocket."""

from __future__ import annotations

import logging
from http.cookies import CookieError
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import parse_cookie
from django.http.request import split_domain_port, validate_host
from django.utils.http import is_same_domain

from taskmaster.tasks.events.channels import Credential

log = logging.getLogger(__name__)

Scope = dict[str, Any]
_SCHEME = "token "
_PORTS = {"http": "80", "https": "443"}


def credential(scope: Scope) -> Credential | None:
    """Return the token of the `Authorization` header or the session key of the cookie, or None."""
    header = _header(scope, b"authorization")
    if header[: len(_SCHEME)].lower() == _SCHEME:
        return "token", header[len(_SCHEME) :].strip()
    try:
        key = parse_cookie(_header(scope, b"cookie")).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return None
    return ("session", key) if key else None


def is_same_origin(scope: Scope) -> bool:
    """Return whether a page of this site opened the WebSocket.

    A browser sends the session cookie for a page of any site, and names that site in `Origin`. A
    client with a token is not a browser and may omit `Origin`. A client without a credential also
    passes; the caller refuses it.
    """
    host, origin = _host(scope).lower(), _header(scope, b"origin")
    domain, _ = split_domain_port(host)
    if not domain or not validate_host(domain, _allowed_hosts()):
        log.warning("console refused: Host is not in ALLOWED_HOSTS", extra={"host": host})
        return False
    if not origin:
        found = credential(scope)
        return found is None or found[0] == "token"
    if _is_trusted(origin):
        return True
    try:
        page = urlsplit(origin.lower())
        default = _PORTS.get(page.scheme)
        return default is not None and _with_port(page.netloc, default) == _with_port(host, default)
    except ValueError:
        return False


def _host(scope: Scope) -> str:
    """Return the host named by the client, as Django's `get_host` determines it."""
    forwarded = _header(scope, b"x-forwarded-host") if settings.USE_X_FORWARDED_HOST else ""
    return forwarded or _header(scope, b"host")


def _is_trusted(origin: str) -> bool:
    """Return whether CSRF_TRUSTED_ORIGINS contains the origin or a wildcard that matches it."""
    scheme, _, netloc = origin.partition("://")
    return any(
        origin == trusted
        or (
            "://*" in trusted
            and trusted.startswith(f"{scheme}://")
            and is_same_domain(netloc, trusted.partition("://*")[2])
        )
        for trusted in settings.CSRF_TRUSTED_ORIGINS
    )


def _allowed_hosts() -> list[str]:
    """Return ALLOWED_HOSTS, or Django's default hosts if it is empty and DEBUG is on."""
    loopback = [".localhost", "127.0.0.1", "[::1]"] if settings.DEBUG else []
    return settings.ALLOWED_HOSTS or loopback


def _with_port(netloc: str, port: str) -> str:
    domain, given = split_domain_port(netloc)
    return f"{domain}:{given or port}"


def _header(scope: Scope, name: bytes) -> str:
    value: bytes = next((value for key, value in scope["headers"] if key.lower() == name), b"")
    # PostgreSQL rejects U+0000, and no stored value contains it.
    return value.decode("latin1").replace("\0", "\N{REPLACEMENT CHARACTER}")
