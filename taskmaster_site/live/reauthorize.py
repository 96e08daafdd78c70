"""End streams whose reader lost access: logged out, token deleted or permission removed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.db import DatabaseError, connection
from django.http import HttpRequest
from psycopg_pool import PoolTimeout
from rest_framework.authtoken.models import Token

from taskmaster.tasks.backoff import run_every
from taskmaster.tasks.events.channels import StreamGrant, permissions

log = logging.getLogger(__name__)


class Reauthorizer:
    """Check the readers of all open streams of this process periodically."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._open: dict[int, tuple[StreamGrant, Callable[[], Any]]] = {}

    def register(self, grant: StreamGrant, end: Callable[[], Any]) -> Callable[[], None]:
        """Register a stream and the function that ends it; return a function to unregister it."""
        self._open[id(grant)] = grant, end
        return lambda: self._open.pop(id(grant), None) and None

    def __len__(self) -> int:
        """Return the number of open streams."""
        return len(self._open)

    async def run(self) -> None:
        """Check all streams every `interval_s` seconds until cancelled."""
        # Access cannot be checked without the database. The next check tries again.
        await run_every(self._interval_s, self._check, retry_on=(DatabaseError, PoolTimeout))

    async def _check(self) -> None:
        """End the streams whose grants are no longer valid."""
        if not self._open:
            return
        grants = [grant for grant, _ in self._open.values()]
        for grant in await sync_to_async(_invalid, thread_sensitive=False)(grants):
            _, end = self._open.get(id(grant), (None, None))
            if end is not None:
                end()


def _invalid(grants: list[StreamGrant]) -> list[StreamGrant]:
    """Return the grants that are no longer valid."""
    try:
        users = {
            credential: user_of(*credential)
            for credential in {grant.credential for grant in grants}
        }
        return [grant for grant in grants if not _is_valid(grant, users[grant.credential])]
    finally:
        connection.close()


def _is_valid(grant: StreamGrant, user: Any) -> bool:
    return (
        user is not None
        and user.is_active
        and all(user.has_perms(permissions(channel)) for channel in grant.channels)
    )


def user_of(kind: str, key: str) -> Any:
    """Return the current user of a session or token, or None if it is not valid."""
    if kind == "token":
        token = Token.objects.select_related("user").filter(key=key).first()
        return token.user if token else None
    store = import_module(settings.SESSION_ENGINE).SessionStore(key)
    # Apply the checks of a normal request, which include a changed password.
    return get_user(cast("HttpRequest", SimpleNamespace(session=store)))
