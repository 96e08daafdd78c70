"""The endpoints of pools."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tasks.api.bodies import object_of
from tasks.api.conditional import HEADERS, NOT_MODIFIED, conditional
from tasks.api.parsers import JSONParser
from tasks.api.views import problems
from tasks.errors import InvalidField
from tasks.permissions import require
from workers.api.pool_serializers import (
    NewPoolSerializer,
    PoolSerializer,
    PoolsSerializer,
    ScaleSerializer,
)
from workers.models import WorkerPool
from workers.permissions import ADD_POOL, CHANGE_POOL, DELETE_POOL, SCALE, VIEW
from workers.pools import operations


class ScaleView(APIView):
    """How many workers there shall be."""

    parser_classes = [JSONParser]

    @extend_schema(
        operation_id="scale_pool",
        summary="Scale a pool of workers",
        request=ScaleSerializer,
        responses={200: PoolSerializer, **problems(400, 404, 503)},
    )
    def post(self, request: Request) -> Response:
        """The number is what is desired from now on; the answer does not wait for the workers."""
        require(request.user, SCALE)
        count, pool = _scaling(request.data)
        return _shown(operations.scale(pool, count, by=request.user.get_username()))


@conditional
class PoolsView(APIView):
    """All pools."""

    parser_classes = [JSONParser]

    @extend_schema(
        operation_id="list_pools",
        summary="List pools by name",
        parameters=HEADERS,
        responses={200: PoolsSerializer, **NOT_MODIFIED, **problems()},
    )
    def get(self, request: Request) -> Response:
        """What is desired, and what was found last."""
        require(request.user, VIEW)
        return Response({"results": PoolSerializer(WorkerPool.objects.all(), many=True).data})

    @extend_schema(
        operation_id="create_pool",
        summary="Make a pool",
        request=NewPoolSerializer,
        responses={201: PoolSerializer, **problems(400, 409, 503)},
    )
    def post(self, request: Request) -> Response:
        """Needs `workers.add_workerpool`: its environment reaches every task that it runs."""
        require(request.user, ADD_POOL)
        fields = object_of(request.data)
        pool = operations.create(fields, by=request.user.get_username())
        return _shown(pool, HTTPStatus.CREATED)


@conditional
class PoolView(APIView):
    """One pool."""

    parser_classes = [JSONParser]

    @extend_schema(
        operation_id="get_pool",
        summary="Show a pool",
        parameters=HEADERS,
        responses={200: PoolSerializer, **NOT_MODIFIED, **problems(404)},
    )
    def get(self, request: Request, name: str) -> Response:
        """What is desired, and what was found last."""
        require(request.user, VIEW)
        return _shown(operations.find(name))

    @extend_schema(
        operation_id="change_pool",
        summary="Change a pool",
        request=NewPoolSerializer(partial=True),
        responses={200: PoolSerializer, **problems(400, 404, 409, 503)},
    )
    def patch(self, request: Request, name: str) -> Response:
        """Workers that run keep what they were started with. `desired` alone: needs scale_pool."""
        fields = object_of(request.data)
        require(request.user, SCALE if set(fields) == {"desired"} else CHANGE_POOL)
        return _shown(operations.change(name, fields, by=request.user.get_username()))

    @extend_schema(
        operation_id="delete_pool",
        summary="Delete a pool without workers",
        responses={204: None, **problems(404, 409)},
    )
    def delete(self, request: Request, name: str) -> Response:
        """Scale it to 0 before."""
        require(request.user, DELETE_POOL)
        operations.delete(name, by=request.user.get_username())
        return Response(status=HTTPStatus.NO_CONTENT)


def _scaling(body: Any) -> tuple[object, str]:
    """The count and the pool's name. Raises InvalidField."""
    fields = object_of(body)
    for field in fields:
        if field not in ("count", "pool"):
            raise InvalidField(field, "unknown field; scaling takes count and pool.")
    if "count" not in fields:
        raise InvalidField("count", "is required: how many workers there shall be.")
    pool = fields.get("pool", operations.DEFAULT)
    if not isinstance(pool, str):
        raise InvalidField("pool", "must be the name of a pool.")
    return fields["count"], pool


def _shown(pool: WorkerPool, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(PoolSerializer(pool).data, status=status)
