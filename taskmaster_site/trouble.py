"""Database trouble as the web meets it: 503 for whoever asks, and one line in the log."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import psycopg
from django.db import InterfaceError, InternalError, OperationalError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.template.loader import render_to_string
from django.utils.deprecation import MiddlewareMixin
from psycopg_pool import PoolTimeout
from rest_framework.response import Response
from rest_framework.views import set_rollback

from coordinator.trouble import Trouble
from taskmaster_site.database import reason
from tasks.api import errors

#: Requests meet trouble by chance, so quiet says less than in a coordinator.
_QUIET_S = 10.0
_RETRY_AFTER = {"Retry-After": "2"}
_STATUS = HTTPStatus.SERVICE_UNAVAILABLE

trouble = Trouble("database trouble, requests get 503 until it is over", quiet_s=_QUIET_S)


def is_trouble(error: BaseException) -> bool:
    """Whether it passes by itself, or by what an operator does to the database."""
    if isinstance(error, InternalError):
        # PostgreSQL's class for it; others of this kind are faults of ours.
        return isinstance(error.__cause__, psycopg.errors.ReadOnlySqlTransaction)
    return isinstance(error, OperationalError | InterfaceError | PoolTimeout)


def met(error: BaseException) -> None:
    """Says it, unless it was said already."""
    trouble.met(RuntimeError(reason(error)) if trouble.news else error)


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """The answer to any error of an API view."""
    if not is_trouble(error):
        return errors.exception_handler(error, context)
    set_rollback()
    met(error)
    body = errors.problem(_STATUS, errors.WORDS[_STATUS])
    return Response(body, _STATUS, headers=_RETRY_AFTER, content_type=errors.MEDIA_TYPE)


class DatabaseTrouble(MiddlewareMixin):
    """The answer of every other view, and the end of the trouble."""

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        """503 for trouble; anything else is Django's to answer."""
        if not is_trouble(error):
            return None
        met(error)
        if request.path.startswith("/api/"):
            body = errors.problem(_STATUS, errors.WORDS[_STATUS])
            return JsonResponse(
                body, status=_STATUS, headers=_RETRY_AFTER, content_type=errors.MEDIA_TYPE
            )
        page = render_to_string("503.html")
        return HttpResponse(page, status=_STATUS, headers=_RETRY_AFTER)

    def process_response(
        self, _request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """A request that used the database and was answered says that it works."""
        if response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR and connection.connection:
            trouble.over()
        return response
