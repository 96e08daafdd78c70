"""Find the credential and check the origin of a WebSocket."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from taskmaster.taskmaster_site.console.origin_auth import credential, is_same_origin


def scope(**headers: str) -> dict[str, Any]:
    return {"headers": [(name.encode(), value.encode("latin1")) for name, value in headers.items()]}


HOSTS = ("127.0.0.1:8000", "localhost", "shop.localhost:8000", "shop.example.org")


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_is_accepted_where_django_accepts_it(host: str) -> None:
    with override_settings(ALLOWED_HOSTS=[], DEBUG=True):
        assert is_same_origin(scope(host=host, authorization="Token x")) is not host.endswith(
            "example.org"
        )
    with override_settings(ALLOWED_HOSTS=[], DEBUG=False):
        assert not is_same_origin(scope(host=host, authorization="Token x"))
    with override_settings(ALLOWED_HOSTS=["shop.example.org"], DEBUG=False):
        assert is_same_origin(scope(host=host, authorization="Token x")) is host.endswith(
            "example.org"
        )


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, None),
        ({"authorization": "Token abc"}, ("token", "abc")),
        ({"authorization": "token  abc "}, ("token", "abc")),
        ({"authorization": "Basic abc"}, None),
        ({"authorization": "Token a\0b"}, ("token", "a\N{REPLACEMENT CHARACTER}b")),
        ({"cookie": f"{settings.SESSION_COOKIE_NAME}=key; other=1"}, ("session", "key")),
        ({"cookie": "other=1"}, None),
    ],
)
def test_the_credential_is_a_token_or_the_key_of_a_session(
    headers: dict[str, str], found: tuple[str, str] | None
) -> None:
    assert credential(scope(**headers)) == found


@pytest.mark.parametrize(
    ("origin", "same"),
    [
        ("http://localhost:8000", True),
        ("http://localhost", False),
        ("http://localhost:8001", False),
        ("http://evil.example", False),
        ("https://trusted.example", True),
        ("https://sub.wildcard.example", True),
        ("http://sub.wildcard.example", False),
        ("null", False),
        ("http://[", False),
    ],
)
def test_a_page_of_another_site_is_refused(origin: str, same: bool) -> None:
    trusted = ["https://trusted.example", "https://*.wildcard.example"]
    with override_settings(ALLOWED_HOSTS=["localhost"], CSRF_TRUSTED_ORIGINS=trusted):
        assert is_same_origin(scope(host="localhost:8000", origin=origin)) is same


def test_only_a_client_without_a_session_may_omit_the_origin() -> None:
    with override_settings(ALLOWED_HOSTS=["localhost"]):
        assert is_same_origin(scope(host="localhost", authorization="Token abc"))
        assert is_same_origin(scope(host="localhost"))
        session = f"{settings.SESSION_COOKIE_NAME}=key"
        assert not is_same_origin(scope(host="localhost", cookie=session))
