"""Assemble /api/: root, token, shards, schema and docs, and the endpoints of each package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction
from django.urls import Resolver404, include, path, re_path, resolve
from drf_spectacular.settings import patched_settings
from drf_spectacular.utils import inline_serializer
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework import serializers
from rest_framework.authtoken.serializers import AuthTokenSerializer
from rest_framework.authtoken.views import ObtainAuthToken
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from taskmaster.taskmaster_site import openapi, shards
from taskmaster.tasks import outage_log
from taskmaster.tasks.api.conventions import ApiConventions, extend_schema
from taskmaster.tasks.api.errors import MEDIA_TYPE, join_details
from taskmaster.tasks.api.live import OverviewSerializer
from taskmaster.tasks.api.login import Login, client_address
from taskmaster.tasks.api.parsers import LoginFormParser, LoginJSONParser
from taskmaster.tasks.api.serializers import ProblemSerializer
from taskmaster.tasks.api.views import problems
from taskmaster.tasks.permissions import VIEW, require
from taskmaster.tasks.shards import reading
from taskmaster.tasks.statistics.read import Overview, overview

_LINKS = (
    "tasks",
    "bulk",
    "operations",
    "pauses",
    "schedules",
    "workers",
    "pools",
    "stats",
    "shards",
    "events",
    "stream",
    "token",
    "schema",
    "docs",
)


class RootView(ApiConventions, APIView):
    """Link to the main endpoints of the API."""

    @extend_schema(
        operation_id="root",
        summary="List the main endpoints",
        responses={
            200: inline_serializer("Links", {name: serializers.URLField() for name in _LINKS}),
            (401, MEDIA_TYPE): ProblemSerializer,
        },
    )
    def get(self, request: Request) -> Response:
        """Return the URLs of the main endpoints."""
        return Response(
            {name: reverse(f"taskmaster:api:{name}", request=request) for name in _LINKS}
        )


class TokenView(ApiConventions, ObtainAuthToken):
    """Exchange a user name and a password for a token.

    The body may be JSON or a form of up to 4,096 bytes. Failed logins are limited by user name and
    by address.
    """

    authentication_classes = []
    permission_classes = [AllowAny]
    parser_classes = [LoginJSONParser, LoginFormParser]

    @extend_schema(
        operation_id="obtain_token",
        summary="Create a token",
        request=AuthTokenSerializer,
        responses={
            200: inline_serializer("Token", {"token": serializers.CharField()}),
            (400, MEDIA_TYPE): ProblemSerializer,
            (413, MEDIA_TYPE): ProblemSerializer,
            (429, MEDIA_TYPE): ProblemSerializer,
        },
    )
    def post(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Return a token for the header `Authorization: Token …` of later requests."""
        body = request.data
        login = Login(
            client_address(request), body.get("username") if isinstance(body, Mapping) else None
        )
        login.take()
        try:
            response = super().post(request, *args, **kwargs)
        except ValidationError as error:
            login.failed(join_details(error.detail)[1])
            raise
        login.succeeded()
        return response


class ShardSerializer(serializers.Serializer[Any]):
    """A database that this web process reads."""

    name = serializers.CharField(help_text="Name of the shard.")
    api = serializers.URLField(help_text="URL of the shard's read-only API.")
    answers = serializers.BooleanField(help_text="Whether the database is available.")
    overview = OverviewSerializer(
        allow_null=True, help_text="Counters of the shard; null if its database is unavailable."
    )


class ShardsView(ApiConventions, APIView):
    """List the databases that this web process reads."""

    @extend_schema(
        operation_id="list_shards",
        summary="List the databases that this web process reads",
        responses={200: ShardSerializer(many=True), **problems()},
    )
    def get(self, request: Request) -> Response:
        """Return each database with its counters. The first is the process's own, `default`."""
        require(request.user, VIEW)
        rows = []
        for name in shards.names():
            overview = _overview(name)
            rows.append(
                {
                    "name": name,
                    "api": _api_url(name, request),
                    "answers": overview is not None,
                    "overview": overview,
                }
            )
        return Response(ShardSerializer(rows, many=True).data)


def _api_url(name: str, request: Request) -> str:
    if name == DEFAULT_DB_ALIAS:
        return reverse("taskmaster:api:root", request=request)
    rest = {"name": name, "rest": "api/"}
    return reverse("taskmaster:shard", kwargs=rest, request=request)


def _overview(name: str) -> Overview | None:
    """Return the counters, or None if the database of a shard is unavailable.

    An outage of the process's own database is raised, because the whole request then fails.
    """
    try:
        with reading(name):
            return overview()
    except Exception as error:
        if name == DEFAULT_DB_ALIAS or not outage_log.is_outage(error):
            raise
        outage_log.record_request_error(error)
        return None


class NotFoundView(ApiConventions, APIView):
    """Answer 404 at every unknown URL below /api/."""

    permission_classes = [AllowAny]
    authentication_classes = []
    schema = None

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        """Raise NotFound for any method, with a hint if only the final slash is missing."""
        slashed = f"{request.path}/"
        hint = f" Did you mean {slashed} ?" if _exists(f"{request.path_info}/") else ""
        raise NotFound(
            f"The API has no endpoint {request.path}.{hint} "
            f"The endpoints are listed at {reverse('taskmaster:api:docs')}."
        )


def _exists(path_info: str) -> bool:
    try:
        return resolve(path_info).url_name != "not-found"
    except Resolver404:
        return False


class SchemaView(ApiConventions, SpectacularAPIView):
    """Serve the OpenAPI schema of this API, without other URLs of the project."""

    permission_classes = [AllowAny]
    renderer_classes = SpectacularAPIView.renderer_classes
    schema = None

    def _get_version_parameter(self, request: Request) -> None:
        """Return no version: the API has one, and the parameter would get into a header."""

    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Return the schema, with paths relative to the prefix of TaskMaster's URLs."""
        self.patterns = [path("api/", include("taskmaster.taskmaster_site.api"))]
        prefix = reverse("taskmaster:dashboard").rstrip("/")
        self.custom_settings = {
            **openapi.SETTINGS,
            **({"SERVERS": [{"url": prefix}]} if prefix else {}),
        }
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        return response


class DocsView(ApiConventions, SpectacularSwaggerSplitView):
    """Serve interactive documentation of the API, without assets from other hosts."""

    permission_classes = [AllowAny]
    renderer_classes = SpectacularSwaggerSplitView.renderer_classes
    schema = None
    url_name = "taskmaster:api:schema"
    title = "TaskMaster"

    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Return the page, or its script with `?script=`."""
        with patched_settings(openapi.SETTINGS):
            response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
            return response


app_name = "api"
urlpatterns = [
    path("", RootView.as_view(), name="root"),
    path("", include("taskmaster.tasks.api.urls")),
    path("", include("taskmaster.workers.api.urls")),
    path("shards/", ShardsView.as_view(), name="shards"),
    # The count of a failed login must survive the rollback of its request.
    path("token/", transaction.non_atomic_requests(TokenView.as_view()), name="token"),
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", DocsView.as_view(), name="docs"),
    re_path("", NotFoundView.as_view(), name="not-found"),
]
