"""Errors as problem details (RFC 9457): one shape for whatever goes wrong below /api/.

{"type": "urn:taskmaster:invalid-field", "status": 400, "title": "Bad Request",
 "detail": "queue: must not be empty.", "field": "queue"}
"""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from psycopg_pool import PoolTimeout
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from tasks.errors import (
    ConfigurationError,
    Conflict,
    IllegalTransition,
    InvalidField,
    KeyReused,
    NotAllowed,
    NotFound,
    TaskMasterError,
    TooLarge,
    Unavailable,
)

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
#: The HTTP status of each error; a subclass without an entry has its parent's.
STATUS: dict[type[Exception], HTTPStatus] = {
    InvalidField: HTTPStatus.BAD_REQUEST,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    NotAllowed: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    IllegalTransition: HTTPStatus.CONFLICT,
    Conflict: HTTPStatus.CONFLICT,
    KeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR,
    Http404: HTTPStatus.NOT_FOUND,
    PermissionDenied: HTTPStatus.FORBIDDEN,
    RequestDataTooBig: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    OperationalError: HTTPStatus.SERVICE_UNAVAILABLE,
    PoolTimeout: HTTPStatus.SERVICE_UNAVAILABLE,
}
#: What is said of an error whose own words are not meant for a client.
WORDS = {
    HTTPStatus.NOT_FOUND: "There is nothing here.",
    HTTPStatus.FORBIDDEN: "You may not do this.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The request is too large.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database does not answer; try again.",
    HTTPStatus.INTERNAL_SERVER_ERROR: (
        "Something went wrong here; the log of the web process has it."
    ),
}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """The response to any error of an API view; what nobody expected is logged with its trace."""
    set_rollback()
    headers: dict[str, str] = {}
    field = None
    if isinstance(error, exceptions.APIException):
        status = HTTPStatus(error.status_code)
        field, detail = _drf_detail(error.detail)
        headers = _drf_headers(error)
    else:
        status = _status(error)
        spoken = isinstance(error, TaskMasterError) and status != HTTPStatus.INTERNAL_SERVER_ERROR
        detail = str(error) if spoken else WORDS[status]
        field = getattr(error, "field", None)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, Unavailable):
        request = context.get("request")
        where = f"{request.method} {request.path}" if request is not None else "a request"
        log.error("%s failed: %s", where, error, exc_info=error)
    body = problem(status, detail, kind=_kind(error, status), field=field)
    return Response(body, status=status, headers=headers, content_type=MEDIA_TYPE)


def problem(
    status: HTTPStatus, detail: str, *, kind: str | None = None, field: str | None = None
) -> dict[str, Any]:
    """The body of an error response; `kind` is the last part of its type."""
    body: dict[str, Any] = {
        "type": f"urn:taskmaster:{kind or _slug(status.phrase)}",
        "status": int(status),
        "title": status.phrase,
        "detail": _sendable(detail),
    }
    return {**body, "field": _sendable(field)} if field else body


def _sendable(text: str) -> str:
    """What a client wrote is repeated; JSON can hold half a surrogate pair, and UTF-8 cannot."""
    return text.encode(errors="backslashreplace").decode()


def server_error(_request: HttpRequest) -> JsonResponse:
    """The last resort, for what failed outside of an API view. Django has logged it."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return JsonResponse(problem(status, WORDS[status]), status=status, content_type=MEDIA_TYPE)


def _status(error: Exception) -> HTTPStatus:
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _kind(error: Exception, status: HTTPStatus) -> str:
    """Our own errors by their class's name, others by the status's."""
    if isinstance(error, TaskMasterError):
        return re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()
    return _slug(status.phrase)


def _slug(phrase: str) -> str:
    return phrase.lower().replace(" ", "-")


def _drf_detail(detail: Any) -> tuple[str | None, str]:
    """The first field that is wrong, and every complaint in one line."""
    if isinstance(detail, dict):
        parts = [
            str(rule) if field == "non_field_errors" else f"{field}: {rule}"
            for field, rules in detail.items()
            for rule in (rules if isinstance(rules, list) else [rules])
        ]
        fields = [field for field in detail if field != "non_field_errors"]
        return (fields[0] if fields else None), " ".join(parts)
    if isinstance(detail, list):
        return None, " ".join(map(str, detail))
    return None, str(detail)


def _drf_headers(error: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if (challenge := getattr(error, "auth_header", None)) is not None:
        headers["WWW-Authenticate"] = challenge
    if (wait := getattr(error, "wait", None)) is not None:
        headers["Retry-After"] = str(int(wait))
    return headers
