"""Ends streams whose reader may not read any more: logged out, token gone, permission taken."""

from __future__ import annotations

import asyncio
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

from tasks.events.channels import permissions
from tasks.events.grant import Grant

log = logging.getLogger(__name__)


class Guard:
    """Of every open stream of this process."""

    def __init__(self, round_s: float) -> None:
        self._round_s = round_s
        self._open: dict[int, tuple[Grant, Callable[[], Any]]] = {}

    def admit(self, grant: Grant, end: Callable[[], Any]) -> Callable[[], None]:
        """Watches over a stream, which `end` ends; returns what is called when it is over."""
        self._open[id(grant)] = grant, end
        return lambda: self._open.pop(id(grant), None) and None

    def __len__(self) -> int:
        """How many streams are open."""
        return len(self._open)

    async def run(self) -> None:
        """Looks at all of them, again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._round_s)
            if not self._open:
                continue
            grants = [grant for grant, _ in self._open.values()]
            try:
                over = await sync_to_async(_over, thread_sensitive=False)(grants)
            except (DatabaseError, PoolTimeout):
                # Nobody can know; the next round will.
                continue
            for grant in over:
                _, end = self._open.get(id(grant), (None, None))
                if end is not None:
                    end()


def _over(grants: list[Grant]) -> list[Grant]:
    """Those of these grants that do not hold any more."""
    try:
        users = {credential: user_of(*credential) for credential in {x.credential for x in grants}}
        return [grant for grant in grants if not _holds(grant, users[grant.credential])]
    finally:
        connection.close()


def _holds(grant: Grant, user: Any) -> bool:
    return (
        user is not None
        and user.is_active
        and all(user.has_perms(permissions(channel)) for channel in grant.channels)
    )


def user_of(kind: str, key: str) -> Any:
    """Whose credential this is today; None when it is nobody's."""
    if kind == "token":
        token = Token.objects.select_related("user").filter(key=key).first()
        return token.user if token else None
    store = import_module(settings.SESSION_ENGINE).SessionStore(key)
    # The look at the session that each request has, password changes among it.
    return get_user(cast("HttpRequest", SimpleNamespace(session=store)))
