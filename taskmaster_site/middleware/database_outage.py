"""Handle database outages during requests: answer 503 and log the outage once."""

from __future__ import annotations

from http import HTTPStatus

from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.template.loader import render_to_string
from django.utils.deprecation import MiddlewareMixin

from taskmaster.taskmaster_site.pages.responses import is_api, is_fragment, toast
from taskmaster.tasks import outage_log
from taskmaster.tasks.api import errors

_NOT_READ = "The database does not answer, so this part of the page is out of date."
#: After an outage during a commit it is unknown whether the commit succeeded.
_UNCERTAIN = (
    "The database does not answer. When it is back, reload the page to see whether the change was "
    "made."
)


class DatabaseOutage(MiddlewareMixin):
    """Answer 503 during an outage, and detect its end."""

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        """Answer 503 for a database outage; leave every other error to Django."""
        if not outage_log.is_outage(error):
            return None
        outage_log.record_request_error(error)
        status = HTTPStatus.SERVICE_UNAVAILABLE
        if is_api(request):
            body = errors.problem(status, errors.MESSAGES[status])
            return JsonResponse(
                body, status=status, headers=errors.RETRY_AFTER, content_type=errors.MEDIA_TYPE
            )
        if is_fragment(request):
            text = _NOT_READ if request.method == "GET" else _UNCERTAIN
            response = toast(request, text, ok=False, status=status)
        else:
            page = render_to_string("taskmaster/unavailable.html")
            response = HttpResponse(page, status=status)
        for name, value in errors.RETRY_AFTER.items():
            response.headers[name] = value
        return response

    def process_response(
        self, _request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Report the outage as over after a successful response that used the database."""
        if response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR and connection.connection:
            outage_log.request_outage.record_success()
        return response
