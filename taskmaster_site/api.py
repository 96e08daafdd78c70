"""/api/ as a whole: its root, token, schema and docs, and the endpoints of each package."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin

from django.db import DEFAULT_DB_ALIAS
from django.urls import Resolver404, include, path, re_path, resolve
from drf_spectacular.utils import extend_schema, inline_serializer
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework import serializers
from rest_framework.authtoken.serializers import AuthTokenSerializer
from rest_framework.authtoken.views import ObtainAuthToken
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from taskmaster_site import shards, trouble
from tasks.api.errors import MEDIA_TYPE
from tasks.api.live import OverviewSerializer
from tasks.api.serializers import ProblemSerializer
from tasks.api.views import problems
from tasks.permissions import VIEW, require
from tasks.shards import reading
from tasks.statistics.read import Overview, overview

_LINKS = (
    "tasks",
    "bulk",
    "operations",
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


class RootView(APIView):
    """Where everything is."""

    @extend_schema(
        operation_id="root",
        summary="Links to what there is",
        responses={
            200: inline_serializer("Links", {name: serializers.URLField() for name in _LINKS}),
            (401, MEDIA_TYPE): ProblemSerializer,
        },
    )
    def get(self, request: Request) -> Response:
        """The addresses to begin with."""
        return Response({name: reverse(f"api:{name}", request=request) for name in _LINKS})


class TokenView(ObtainAuthToken):
    """A token for a name and a password."""

    authentication_classes = []
    permission_classes = [AllowAny]

    @extend_schema(
        operation_id="obtain_token",
        summary="Obtain a token",
        request=AuthTokenSerializer,
        responses={
            200: inline_serializer("Token", {"token": serializers.CharField()}),
            (400, MEDIA_TYPE): ProblemSerializer,
        },
    )
    def post(self, request: Request, *args: object, **kwargs: object) -> Response:
        """To be sent with each request: `Authorization: Token …`."""
        return super().post(request, *args, **kwargs)


class ShardSerializer(serializers.Serializer[Any]):
    """One database that this web reads."""

    name = serializers.CharField()
    api = serializers.URLField(help_text="Where its API is read.")
    answers = serializers.BooleanField(help_text="Whether the database does.")
    overview = OverviewSerializer(allow_null=True)


class ShardsView(APIView):
    """The databases that this web reads."""

    @extend_schema(
        operation_id="list_shards",
        summary="List the databases that this web reads",
        responses={200: ShardSerializer(many=True), **problems()},
    )
    def get(self, request: Request) -> Response:
        """Each with its counters; the web's own, `default`, first."""
        require(request.user, VIEW)
        root = reverse("api:root", request=request)
        rows = []
        for name in shards.names():
            address = root if name == DEFAULT_DB_ALIAS else urljoin(root, f"/shards/{name}/api/")
            overview = _overview(name)
            rows.append(
                {
                    "name": name,
                    "api": address,
                    "answers": overview is not None,
                    "overview": overview,
                }
            )
        return Response(ShardSerializer(rows, many=True).data)


def _overview(name: str) -> Overview | None:
    """None when the database does not answer; that of the web itself is everybody's trouble."""
    try:
        with reading(name):
            return overview()
    except Exception as error:
        if name == DEFAULT_DB_ALIAS or not trouble.is_trouble(error):
            raise
        trouble.met(error)
        return None


class NotFoundView(APIView):
    """Every other address below /api/."""

    permission_classes = [AllowAny]
    authentication_classes = []
    schema = None

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        """Raises NotFound for any method, with a hint where only the slash is missing."""
        hint = f" Did you mean {request.path}/ ?" if _is_known(f"{request.path}/") else ""
        raise NotFound(f"There is nothing at {request.path}.{hint} See /api/docs/.")


def _is_known(address: str) -> bool:
    try:
        return resolve(address).url_name != "nothing"
    except Resolver404:
        return False


app_name = "api"
urlpatterns = [
    path("", RootView.as_view(), name="root"),
    path("", include("tasks.api.urls")),
    path("", include("workers.api.urls")),
    path("shards/", ShardsView.as_view(), name="shards"),
    path("token/", TokenView.as_view(), name="token"),
    path(
        "schema/",
        SpectacularAPIView.as_view(permission_classes=[AllowAny]),
        name="schema",
    ),
    path(
        "docs/",
        SpectacularSwaggerSplitView.as_view(url_name="api:schema", permission_classes=[AllowAny]),
        name="docs",
    ),
    re_path("", NotFoundView.as_view(), name="nothing"),
]
