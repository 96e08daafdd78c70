"""Provide the REST endpoints of pools."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from taskmaster.tasks.api.bodies import require_object
from taskmaster.tasks.api.conditional import HEADERS, NOT_MODIFIED, conditional
from taskmaster.tasks.api.conventions import ApiConventions, extend_schema
from taskmaster.tasks.api.parsers import JSONParser
from taskmaster.tasks.api.views import problems
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.permissions import require
from taskmaster.workers.api.pool_serializers import (
    NewPoolSerializer,
    PoolSerializer,
    PoolsSerializer,
    ScaleSerializer,
)
from taskmaster.workers.models import WorkerPool
from taskmaster.workers.permissions import (
    ADD_POOL,
    CHANGE_POOL,
    DELETE_POOL,
    SCALE,
    VIEW,
    check_pool_fields,
)
from taskmaster.workers.pools import operations


class ScaleView(ApiConventions, APIView):
    """Set the desired number of workers of a pool."""

    parser_classes = [JSONParser]

    @extend_schema(
        operation_id="scale_pool",
        summary="Scale a pool",
        request=ScaleSerializer,
        responses={200: PoolSerializer, **problems(400, 404, 503)},
    )
    def post(self, request: Request) -> Response:
        """Set the desired number of workers. The response does not wait until the workers run."""
        require(request.user, VIEW, SCALE)
        count, pool = _scaling(request.data)
        return _shown(operations.scale(pool, count, by=request.user.get_username()))


@conditional
class PoolsView(ApiConventions, APIView):
    """List and create pools."""

    parser_classes = [JSONParser]

    @extend_schema(
        operation_id="list_pools",
        summary="List pools by name",
        parameters=HEADERS,
        responses={200: PoolsSerializer, **NOT_MODIFIED, **problems()},
    )
    def get(self, request: Request) -> Response:
        """Return the desired state and the last findings of every pool."""
        require(request.user, VIEW)
        return Response({"results": PoolSerializer(WorkerPool.objects.all(), many=True).data})

    @extend_schema(
        operation_id="create_pool",
        summary="Create a pool",
        request=NewPoolSerializer,
        responses={201: PoolSerializer, **problems(400, 409, 503)},
    )
    def post(self, request: Request) -> Response:
        """Create a pool.

        Requires the permission `taskmaster_workers.add_workerpool`. Workers from the start also
        require `taskmaster_workers.scale_pool`, and an environment
        `taskmaster_workers.set_pool_environment`. Without `taskmaster_workers.view_worker` the
        response has the `name` only.
        """
        require(request.user, ADD_POOL)
        fields = require_object(request.data)
        check_pool_fields(request.user, fields, new=True)
        pool = operations.create(fields, by=request.user.get_username())
        if not request.user.has_perm(VIEW):
            return Response({"name": pool.name}, status=HTTPStatus.CREATED)
        return _shown(pool, HTTPStatus.CREATED)


@conditional
class PoolView(ApiConventions, APIView):
    """Serve, change and delete a pool."""

    parser_classes = [JSONParser]

    @extend_schema(
        operation_id="get_pool",
        summary="Get a pool",
        parameters=HEADERS,
        responses={200: PoolSerializer, **NOT_MODIFIED, **problems(404)},
    )
    def get(self, request: Request, name: str) -> Response:
        """Return the desired state and the last findings of the pool."""
        require(request.user, VIEW)
        return _shown(operations.find(name))

    @extend_schema(
        operation_id="change_pool",
        summary="Change a pool",
        request=NewPoolSerializer(partial=True),
        responses={200: PoolSerializer, **problems(400, 404, 409, 503)},
    )
    def patch(self, request: Request, name: str) -> Response:
        """Change fields of the pool. Running workers keep the options they were started with.

        `desired` requires the permission `taskmaster_workers.scale_pool`, `environment` requires
        `taskmaster_workers.set_pool_environment` in addition to `change_workerpool`, and all
        other fields require `taskmaster_workers.change_workerpool`.
        """
        fields = require_object(request.data)
        if not fields:
            require(request.user, VIEW, CHANGE_POOL)
        check_pool_fields(request.user, fields, new=False)
        return _shown(operations.change(name, fields, by=request.user.get_username()))

    @extend_schema(
        operation_id="delete_pool",
        summary="Delete a pool without workers",
        responses={204: None, **problems(404, 409)},
    )
    def delete(self, request: Request, name: str) -> Response:
        """Delete the pool. It must have been scaled to 0 and have no workers."""
        require(request.user, VIEW, DELETE_POOL)
        operations.delete(name, by=request.user.get_username())
        return Response(status=HTTPStatus.NO_CONTENT)


def _scaling(body: Any) -> tuple[object, str]:
    """Return the count and the name of the pool from a request body. Raises InvalidField."""
    fields = require_object(body)
    for field in fields:
        if field not in ("count", "pool"):
            raise InvalidField(field, "unknown field; valid fields are count and pool.")
    if "count" not in fields:
        raise InvalidField("count", "is required: the desired number of workers.")
    pool = fields.get("pool", operations.DEFAULT)
    if not isinstance(pool, str):
        raise InvalidField("pool", "must be the name of a pool.")
    return fields["count"], pool


def _shown(pool: WorkerPool, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(PoolSerializer(pool).data, status=status)
