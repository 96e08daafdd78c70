"""Test the web process behind nginx with the sample configuration, over TLS."""

from __future__ import annotations

import asyncio
import http.cookiejar
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from benchmarks.sse import Stream
from tests.factories import stored, token_header
from tests.system.nginx import BINARY, Nginx, running_nginx
from tests.system.web import ALL, publish, web
from tests.system.websocket import Closed, websocket

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        BINARY is None, reason="needs nginx; on Debian: apt-get install nginx-light"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="nginx is started as root, as systemd does"),
]
store = sync_to_async(stored)
PUBLIC = {
    "TASKMASTER_ALLOWED_HOSTS": "tasks.example.org,127.0.0.1",
    "TASKMASTER_SECRET_KEY": "behind-nginx-" + "x" * 40,
}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


class Browser:
    """A browser that keeps cookies, follows no redirect, and sends the given Host."""

    def __init__(self, nginx: Nginx) -> None:
        self._nginx = nginx
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            _NoRedirect(),
            urllib.request.HTTPSHandler(context=nginx.tls),
            urllib.request.HTTPCookieProcessor(self.cookies),
        )

    def get(self, path: str, *, plain: bool = False, **headers: str) -> Any:
        """Return the answer, with any status."""
        return self._request(path, None, plain, headers)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Any:
        """Send a form and return the answer."""
        return self._request(path, urllib.parse.urlencode(fields).encode(), False, headers)

    def _request(self, path: str, data: bytes | None, plain: bool, headers: dict[str, str]) -> Any:
        port, scheme = (self._nginx.http, "http") if plain else (self._nginx.https, "https")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"{scheme}://127.0.0.1:{port}{path}", data, named)
        try:
            return self._opener.open(request, timeout=20)
        except urllib.error.HTTPError as answer:
            return answer


async def test_pages_streams_and_consoles_work_through_nginx(tmp_path: Path) -> None:
    user = await sync_to_async(User.objects.create_superuser)("ada", password="lovelace")
    token = await sync_to_async(token_header)(user)
    async with web(**PUBLIC) as served:
        with running_nginx(tmp_path, served.port) as nginx:
            await asyncio.to_thread(pages_and_forms, nginx)
            await asyncio.to_thread(static_files, nginx)
            await events_arrive_immediately(nginx, token)
            await consoles_are_open(nginx, token)
    assert "[error]" not in (tmp_path / "error.log").read_text()


def pages_and_forms(nginx: Nginx) -> None:
    """Check that only HTTPS is served; the web process learns the scheme only from nginx."""
    browser = Browser(nginx)
    moved = browser.get("/tasks/?q=1", plain=True, Host="tasks.example.org")
    assert (moved.status, moved.headers["Location"]) == (
        301,
        "https://tasks.example.org/tasks/?q=1",
    )
    assert browser.get("/healthz", Host="evil.example.org").status == 400
    page = browser.get("/login/", X_Forwarded_Proto="http", Forwarded="proto=http")
    assert "max-age" in page.headers["Strict-Transport-Security"]
    [token] = re.findall(r'csrfmiddlewaretoken" value="(\w+)"', page.read().decode())
    assert all(cookie.secure for cookie in browser.cookies)
    fields = {"username": "ada", "password": "lovelace", "csrfmiddlewaretoken": token}
    here = f"https://127.0.0.1:{nginx.https}"
    for origin, proto, status in (
        ("https://evil.example.org", "https", 403),
        (here.replace("https", "http"), "http", 403),
        (here, "http", 302),
    ):
        answer = browser.post("/login/", fields, Origin=origin, X_Forwarded_Proto=proto)
        assert answer.status == status, (origin, answer.read())
    assert "sessionid" in {cookie.name for cookie in browser.cookies if cookie.secure}
    assert browser.get("/").status == 200


def static_files(nginx: Nginx) -> None:
    """Check that static files are the same as without nginx, but compressed."""
    browser = Browser(nginx)
    plain = browser.get("/static/taskmaster/dashboard.css")
    assert plain.headers["Content-Type"].startswith("text/css")
    small = browser.get("/static/taskmaster/dashboard.css", Accept_Encoding="gzip")
    assert small.headers["Content-Encoding"] == "gzip"
    assert len(small.read()) < len(plain.read()) / 2
    assert browser.get("/static/nothing.css").status == 404


async def events_arrive_immediately(nginx: Nginx, token: dict[str, str]) -> None:
    """Check that events arrive one by one, immediately."""
    stream = await Stream.open(nginx.https, ALL, token, nginx.tls)
    try:
        for number in range(1, 4):
            wanted = await publish(number, number)
            async with asyncio.timeout(10):
                while wanted not in [
                    e["id"] for e in (await stream.next("events")).json()["events"]
                ]:
                    pass
    finally:
        stream.close()


async def consoles_are_open(nginx: Nginx, token: dict[str, str]) -> None:
    """Check that consoles open for the site's own pages and for programs."""
    [task_id] = await store()
    path = f"/ws/tasks/{task_id}/console/"
    here = {"Origin": f"https://127.0.0.1:{nginx.https}"}
    async with websocket(nginx.https, path, nginx.tls, **token, **here) as console:
        assert (await console.receive())["type"]
    with pytest.raises(Closed):
        async with websocket(
            nginx.https, path, nginx.tls, **token, Origin="https://evil.example.org"
        ):
            pass
