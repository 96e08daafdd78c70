"""Whom the worker service lets in, and who may speak for which worker.

Over loopback without TLS everybody; else whoever shows a valid join token with every call. The
answer to a wrong, revoked, expired or used-up token, and to a call for somebody else's worker, is
one and the same: nothing is learnt from it. The log says which it was.
"""

from __future__ import annotations

import asyncio
from hmac import compare_digest
from typing import Any, NamedTuple, NoReturn, TypeAlias
from uuid import UUID

import grpc

from coordinator.database import TROUBLE, Database
from coordinator.lifeline import Lifeline
from coordinator.links import Link
from coordinator.refusals import Refusals
from workers import store as workers
from workers.joining.digest import digest

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

_SCHEME = "bearer "
_ANSWER = "A valid join token is needed: the metadata `authorization: Bearer <token>`."
#: How often it is looked at whether the tokens of those who are in are still valid.
_ROUND_S = 2.0
#: Above so many workers those that have gone are forgotten, the oldest first.
_LINKS_MAX = 1_000


class Pass(NamedTuple):
    """A join token that was valid when it was looked at."""

    token: int
    name: str
    digest: str


class Gate:
    """The tokens of the workers that said hello to this coordinator."""

    def __init__(self, database: Database, lifeline: Lifeline, *, tokens: bool) -> None:
        self._database = database
        self._lifeline = lifeline
        #: Whether a token is needed.
        self._tokens = tokens
        self._asking = asyncio.Lock()
        self._refusals = Refusals()
        #: The newest of each worker, also of those whose stream has just broken and whose reports
        #: still come.
        self._links: dict[UUID, Link] = {}

    # ---- hello ------------------------------------------------------------------------------

    async def open(self, context: Context, worker: str) -> Pass | None:
        """What a worker shows that says hello; None where nothing is needed.

        Aborts when it does not let the worker in.
        """
        if not self._tokens:
            return None
        shown = _shown(context)
        if not shown:
            await self.refuse(context, "there is none")
        try:
            # One question at a time: who knocks without end must not keep its connections from
            # the others.
            async with self._asking, self._database.connection() as connection:
                found = await workers.join_token(connection, shown, _uuid(worker))
        except TROUBLE:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "The database is away; come again.")
            raise AssertionError from None
        if found is None:
            await self.refuse(context, "nobody knows it")
        if found.fault:
            await self.refuse(context, found.fault, token=found.name)
        return Pass(found.id, found.name, shown)

    async def refuse(self, context: Context, why: str, **details: object) -> NoReturn:
        """The one answer to whoever has no valid token; `why` is for the log alone."""
        reason = f"refused at the gate: the join token, {why}"
        self._refusals.note(reason, peer=context.peer(), **details)
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, _ANSWER)
        raise AssertionError

    def remember(self, link: Link) -> None:
        """From here on this worker is known."""
        self._links.pop(link.worker_id, None)
        self._links[link.worker_id] = link
        if len(self._links) > _LINKS_MAX:
            gone = next((each.worker_id for each in self._links.values() if each.closed), None)
            if gone is not None:
                del self._links[gone]

    # ---- every other call -------------------------------------------------------------------

    async def known(self, text: str, context: Context) -> Link | None:
        """The worker of this id, if it has said hello here.

        Aborts when the id is no UUID, or the caller does not show the token it joined with.
        """
        worker_id = _uuid(text)
        link = self._links.get(worker_id) if worker_id else None
        if self._tokens and (link is None or not compare_digest(_shown(context), link.digest)):
            await self.refuse(context, "it is not the worker's")
        if worker_id is None:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "worker_id: must be a UUID.")
        return link

    # ---- whose token is valid no more -------------------------------------------------------

    async def run(self) -> None:
        """Ends the streams of workers whose token is revoked or expired, until cancelled."""
        while True:
            await asyncio.sleep(_ROUND_S)
            links = list(self._links.values())
            in_use = {link.join_token for link in links if link.join_token is not None}
            if not in_use:
                continue
            try:
                async with self._database.connection() as connection:
                    gone = await workers.dismissed(connection, [*in_use])
            except TROUBLE:
                continue
            for link in [each for each in self._links.values() if each.join_token in gone]:
                del self._links[link.worker_id]
                self._lifeline.expel(link)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _shown(context: Context) -> str:
    """The digest of the token that a call carries; empty when there is none."""
    header = str(dict(context.invocation_metadata() or ()).get("authorization", ""))
    if header[: len(_SCHEME)].lower() != _SCHEME:
        return ""
    return digest(header[len(_SCHEME) :])
