"""Return errors as problem details (RFC 9457), in one format for all of /api/.

{"type": "urn:taskmaster:invalid-field", "status": 400, "title": "Bad Request",
 "detail": "queue: must not be empty.", "field": "queue"}
"""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from taskmaster.tasks import outage_log
from taskmaster.tasks.errors import (
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
    VersionChanged,
)

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
#: Headers of a 503 response. A database outage is often over within seconds.
RETRY_AFTER = {"Retry-After": "2"}
#: HTTP status by error class. A subclass without an entry has the status of its parent.
STATUS: dict[type[Exception], HTTPStatus] = {
    InvalidField: HTTPStatus.BAD_REQUEST,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    NotAllowed: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    IllegalTransition: HTTPStatus.CONFLICT,
    Conflict: HTTPStatus.CONFLICT,
    VersionChanged: HTTPStatus.PRECONDITION_FAILED,
    KeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR,
    Http404: HTTPStatus.NOT_FOUND,
    PermissionDenied: HTTPStatus.FORBIDDEN,
    RequestDataTooBig: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    SuspiciousOperation: HTTPStatus.BAD_REQUEST,
}
#: Messages by status, for errors whose own message is not intended for clients.
MESSAGES = {
    HTTPStatus.BAD_REQUEST: "The request is malformed.",
    HTTPStatus.NOT_FOUND: "The requested resource does not exist.",
    HTTPStatus.FORBIDDEN: "You do not have permission to do this.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The request is too large.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database is unavailable; retry later.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Internal error; see the log of the web process.",
}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """Return the response to an error of an API view. Log unexpected errors with a traceback."""
    set_rollback()
    if outage_log.is_outage(error):
        outage_log.record_request_error(error)
        status = HTTPStatus.SERVICE_UNAVAILABLE
        body = problem(status, MESSAGES[status])
        return Response(body, status=status, headers=RETRY_AFTER, content_type=MEDIA_TYPE)
    headers: dict[str, str] = {}
    field = None
    if isinstance(error, exceptions.APIException):
        status = HTTPStatus(error.status_code)
        field, detail = join_details(error.detail)
        headers = _drf_headers(error)
    else:
        status = _status(error)
        for_client = (
            isinstance(error, TaskMasterError) and status != HTTPStatus.INTERNAL_SERVER_ERROR
        )
        detail = str(error) if for_client else MESSAGES[status]
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
    """Return the body of an error response. `kind` is the last part of its type."""
    body: dict[str, Any] = {
        "type": f"urn:taskmaster:{kind or _slug(status.phrase)}",
        "status": int(status),
        "title": status.phrase,
        "detail": _sendable(detail),
    }
    return {**body, "field": _sendable(field)} if field else body


def _sendable(text: str) -> str:
    """Escape unpaired surrogates. The text may quote JSON of a client, and UTF-8 lacks them."""
    return text.encode(errors="backslashreplace").decode()


def server_error(_request: HttpRequest) -> JsonResponse:
    """Return the response to an error outside of an API view. Django has logged it."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return JsonResponse(problem(status, MESSAGES[status]), status=status, content_type=MEDIA_TYPE)


def _status(error: Exception) -> HTTPStatus:
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _kind(error: Exception, status: HTTPStatus) -> str:
    """Return the error type: the class name of TaskMaster's own errors, else the status phrase."""
    if isinstance(error, TaskMasterError):
        return re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()
    return _slug(status.phrase)


def _slug(phrase: str) -> str:
    return phrase.lower().replace(" ", "-")


def join_details(detail: Any) -> tuple[str | None, str]:
    """Return the first invalid field, and all messages in one line."""
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
