"""Distinguish requests for the API, for fragments and for pages, and build common responses."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import render
from django.urls import Resolver404, resolve
from django.views.defaults import server_error as html_server_error

from taskmaster.taskmaster_site.pages.task_table import Position, TableFilter
from taskmaster.tasks.api import errors


def is_api(request: HttpRequest) -> bool:
    """Return whether the request is for the API, under any prefix of the URLs."""
    match = request.resolver_match
    if match is None:
        # The request failed before its view was found.
        try:
            match = resolve(request.path_info)
        except Resolver404:
            return False
    return "api" in match.namespaces


def is_fragment(request: HttpRequest) -> bool:
    """Return whether a script requests a fragment for the current page."""
    return request.headers.get("HX-Request") == "true"


def current_url(request: HttpRequest) -> SplitResult:
    """Return the URL of the page whose script sent the request. It is empty if it is invalid."""
    try:
        return urlsplit(request.headers.get("HX-Current-URL", ""))
    except ValueError:
        return urlsplit("")


def toast(
    request: HttpRequest,
    text: str,
    *,
    ok: bool = True,
    status: int = 200,
    undo: tuple[str, str] | None = None,
) -> HttpResponse:
    """Return a notification for the corner of the page.

    `undo` is the label of a button and the URL it posts to.
    """
    context = {"text": text, "ok": ok, "undo": undo}
    response = render(request, "taskmaster/toast.html", context, status=status)
    # These headers override the target of the button that sent the request.
    response.headers["HX-Retarget"] = "#toasts"
    response.headers["HX-Reswap"] = "afterbegin"
    return response


def keep_address(
    request: HttpRequest, response: HttpResponse, table_filter: TableFilter, url: str
) -> HttpResponse:
    """Let the browser's address follow a changed filter, and return the response of the fragment.

    While a search is typed, replace the address, so that each letter adds no history entry. A
    request with a position refreshes a page of the list; a form never sends one.
    """
    if Position.from_query(request.GET) != Position():
        return response
    current = QueryDict(current_url(request).query)
    previous = TableFilter.from_query(current)
    if previous != table_filter or Position.from_query(current) != Position():
        typed = previous.search != table_filter.search
        response.headers["HX-Replace-Url" if typed else "HX-Push-Url"] = url
    return response


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Return problem details for an API request whose view failed, otherwise an HTML page."""
    if is_api(request):
        return errors.server_error(request)
    return html_server_error(request)
