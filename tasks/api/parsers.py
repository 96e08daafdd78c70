"""Parse request bodies: JSON of limited size and depth, and short forms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import IO, Any, NoReturn

from django.conf import settings
from django.core.exceptions import TooManyFieldsSent
from django.http import QueryDict
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

from taskmaster.tasks.json_rules import MAX_DEPTH, is_too_deep

#: Maximum nesting of a body: that of the arguments of a task, and the lists and objects around it.
_MAX_DEPTH = MAX_DEPTH + 10
#: Maximum size of a user name with its password, in bytes.
_LOGIN_MAX_BYTES = 4_096


class BodyTooLarge(APIException):
    """Report a body above the limit of its endpoint."""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class JSONParser(BaseParser):
    """Parse JSON as defined in RFC 8259: UTF-8, without NaN.

    DRF's parser reads a body of any size, and raises RecursionError if it is nested too deeply.
    """

    media_type = "application/json"

    @property
    def max_bytes(self) -> int | None:
        """Return the maximum size of a body. None: no limit."""
        return settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the parsed value. Raise ParseError or BodyTooLarge."""
        body = _read(stream, self.max_bytes)
        try:
            text = body.decode("utf-8")
            value = json.loads(text, parse_constant=_refuse)
        except RecursionError:
            raise ParseError("The body is not valid JSON: it is nested too deeply.") from None
        except ValueError as error:
            raise ParseError(f"The body is not valid JSON: {error}.") from None
        if is_too_deep(text, _MAX_DEPTH):
            raise ParseError(f"The body is nested more than {_MAX_DEPTH} levels deep.")
        return value


class LoginJSONParser(JSONParser):
    """Parse the JSON of a login, which anyone may send."""

    max_bytes = _LOGIN_MAX_BYTES


class LoginFormParser(BaseParser):
    """Parse the form of a login, which anyone may send.

    The text is UTF-8, because any other charset of the header could be one without text.
    """

    media_type = "application/x-www-form-urlencoded"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the fields. Raise ParseError or BodyTooLarge."""
        body = _read(stream, _LOGIN_MAX_BYTES)
        try:
            return QueryDict(body, encoding="utf-8")
        except TooManyFieldsSent:
            raise ParseError("The form has too many fields.") from None


def _read(stream: IO[Any], limit: int | None) -> bytes:
    """Return the body. Raise BodyTooLarge without reading more than the limit."""
    body: bytes = stream.read() if limit is None else stream.read(limit + 1)
    if limit is not None and len(body) > limit:
        raise BodyTooLarge(f"The body exceeds the limit of {limit:,} bytes.")
    return body


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not allowed")
