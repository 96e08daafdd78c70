"""A browser with cookies and an API client with a token, using only the standard library."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from typing import Any, NamedTuple
from urllib.parse import urlencode


class Answer(NamedTuple):
    """The response to a request."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Visitor:
    """A browser that keeps cookies and sends forms, and a client of the API."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.cookies = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def get(self, path: str, **headers: str) -> Answer:
        """Get a page."""
        return self._send(urllib.request.Request(self.base + path, headers=headers))

    def post(self, path: str, **fields: str) -> Answer:
        """Send a form with the CSRF token that an earlier page has set."""
        token = next((each.value for each in self.cookies if each.name == "csrftoken"), "")
        body = urlencode({"csrfmiddlewaretoken": token, **fields}).encode()
        return self._send(urllib.request.Request(self.base + path, body))

    def send(self, path: str, body: object, token: str) -> Answer:
        """Send JSON to the API."""
        headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode()
        return self._send(urllib.request.Request(self.base + path, data, headers))

    def log_in(self, page: str, name: str, password: str) -> None:
        """Log in at a page of Django's."""
        self.get(page)
        answer = self.post(page, username=name, password=password, next=page)
        assert answer.status == 200, answer
        assert any(each.name == "sessionid" for each in self.cookies)

    def _send(self, request: urllib.request.Request) -> Answer:
        try:
            with self._opener.open(request, timeout=30) as response:
                return Answer(response.status, response.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode(errors="replace"))

    def events(self, path: str, token: str) -> Any:
        """Open a stream of the API; iterating yields its lines."""
        headers = {"Authorization": f"Token {token}"}
        request = urllib.request.Request(self.base + path, headers=headers)
        return urllib.request.urlopen(request, timeout=30)


def addresses(page: str) -> list[str]:
    """Return every address in a page that is not on another host."""
    found = re.findall(r'(?:href|src|action|hx-get|hx-post|data-[a-z]+)="(/[^"]*)"', page)
    return [each for each in found if not each.startswith("//")]
