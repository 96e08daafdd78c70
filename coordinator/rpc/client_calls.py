"""Run the gRPC calls of clients in threads, as the user of their token."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import InternalError, OperationalError, connections
from psycopg.errors import ReadOnlySqlTransaction

from taskmaster.coordinator.rpc.join_auth import UNAVAILABLE, Context
from taskmaster.coordinator.support.log_throttle import LogThrottle
from taskmaster.tasks.errors import (
    ConfigurationError,
    Conflict,
    IllegalTransition,
    InvalidField,
    NotAllowed,
    NotFound,
    TaskMasterError,
    TooLarge,
    UnknownTaskName,
)

_Result = TypeVar("_Result")

#: The gRPC status of each error. A subclass without an entry has the status of its parent class.
STATUS: dict[type[TaskMasterError], grpc.StatusCode] = {
    InvalidField: grpc.StatusCode.INVALID_ARGUMENT,
    TooLarge: grpc.StatusCode.INVALID_ARGUMENT,
    UnknownTaskName: grpc.StatusCode.INVALID_ARGUMENT,
    NotAllowed: grpc.StatusCode.PERMISSION_DENIED,
    NotFound: grpc.StatusCode.NOT_FOUND,
    IllegalTransition: grpc.StatusCode.FAILED_PRECONDITION,
    Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    ConfigurationError: grpc.StatusCode.INTERNAL,
}
_SCHEME = "token "


class Unauthenticated(Exception):
    """Report that a call carries no valid token of an active user."""


class ClientCalls:
    """Run the calls of the services for clients."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        #: Threads that may use Django's connections.
        self.threads = threads
        self._refusals = LogThrottle()

    async def run(self, context: Context, work: Callable[[Any], _Result]) -> _Result:
        """Run `work(user)` in a thread. Abort the call with a status if it raises."""
        metadata = context.invocation_metadata() or ()
        header = dict(metadata).get("authorization", "")

        def run() -> _Result:
            try:
                return work(user_of(str(header)))
            finally:
                # A call has no Django request whose end would return the connection to the pool.
                connections.close_all()

        run_async = sync_to_async(run, thread_sensitive=False, executor=self.threads)
        try:
            return await run_async()
        except Unauthenticated as error:
            self._refusals.warn("call refused: no valid API token", peer=context.peer())
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
        except TaskMasterError as error:
            await context.abort(status_of(error), str(error))
        except OperationalError:
            await context.abort(grpc.StatusCode.UNAVAILABLE, UNAVAILABLE)
        except InternalError as error:
            if not isinstance(error.__cause__, ReadOnlySqlTransaction):
                raise
            await context.abort(
                grpc.StatusCode.UNAVAILABLE, "The database is read-only; retry later."
            )
        raise AssertionError("abort raises")


def status_of(error: TaskMasterError) -> grpc.StatusCode:
    """Return the gRPC status of an error."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def user_of(header: str) -> Any:
    """Return the active user whose token the metadata carries. Raise Unauthenticated."""
    if not apps.is_installed("rest_framework.authtoken"):
        raise Unauthenticated(
            "Tokens require django-taskmaster[api] and rest_framework.authtoken in INSTALLED_APPS."
        )
    from rest_framework.authtoken.models import Token

    if header[: len(_SCHEME)].lower() != _SCHEME:
        raise Unauthenticated(
            "The call has no token; send the metadata `authorization: Token <key>`."
        )
    key = header[len(_SCHEME) :].strip()
    token = Token.objects.select_related("user").filter(key=key).first()
    if token is None or not token.user.is_active:
        raise Unauthenticated("The token is unknown, or its user is not active.")
    return token.user
