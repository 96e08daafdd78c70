"""Authenticate workers and check that a call comes from the worker that it names.

Without TLS, which is possible on loopback only, every worker is admitted. With TLS every call must
carry a valid join token. The answer is the same for an unknown, revoked, expired or used-up token
and for a call that names another worker, so that a caller learns nothing from it. The log contains
the reason.
"""

from __future__ import annotations

import asyncio
from hmac import compare_digest
from typing import Any, NamedTuple, NoReturn, TypeAlias
from uuid import UUID

import grpc

from taskmaster.coordinator.dispatch.connections import WorkerConnection
from taskmaster.coordinator.liveness.workers import WorkerLiveness
from taskmaster.coordinator.support.database import OUTAGE_ERRORS, Database
from taskmaster.coordinator.support.log_throttle import LogThrottle
from taskmaster.tasks.backoff import run_every
from taskmaster.workers.security.tokens import digest
from taskmaster.workers.store import async_store as worker_store

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

#: Details of the status UNAVAILABLE.
UNAVAILABLE = "Database unavailable; retry later."
_SCHEME = "bearer "
_UNAUTHENTICATED = (
    "A valid join token is required: send the metadata `authorization: Bearer <token>`."
)
#: Seconds between two checks that the tokens of connected workers are still valid.
_INTERVAL_S = 2.0
#: Number of remembered workers above which disconnected ones are forgotten, the oldest first.
_WORKERS_MAX = 1_000


class CheckedToken(NamedTuple):
    """Identify a join token that was valid at the time of the check."""

    id: int
    name: str
    digest: str


class JoinAuth:
    """Check join tokens, and remember workers that have registered here.

    `tokens_required` is whether a worker needs a join token.
    """

    def __init__(
        self, database: Database, workers: WorkerLiveness, *, tokens_required: bool
    ) -> None:
        self._database = database
        self._worker_liveness = workers
        self._tokens_required = tokens_required
        self._querying = asyncio.Lock()
        self._refusals = LogThrottle()
        #: The newest connection of each worker. A worker whose stream has broken is included:
        #: its reports may still arrive.
        self._workers: dict[UUID, WorkerConnection] = {}

    # ---- registration -----------------------------------------------------------------------

    async def check_token(self, worker_id: str, context: Context) -> CheckedToken | None:
        """Check the join token of a worker that registers.

        Return the checked token, None if no token is required. Aborts the call if the token is
        missing or not valid.
        """
        if not self._tokens_required:
            return None
        sent = _sent_digest(context)
        if not sent:
            await self.refuse(context, "the call has none")
        try:
            # Run one query at a time: a client that retries without pause must not occupy the
            # connection pool.
            async with self._querying, self._database.connection() as connection:
                found = await worker_store.check_join_token(connection, sent, _uuid(worker_id))
        except OUTAGE_ERRORS:
            await context.abort(grpc.StatusCode.UNAVAILABLE, UNAVAILABLE)
            raise AssertionError from None
        if found is None:
            await self.refuse(context, "it does not exist")
        if found.fault:
            await self.refuse(context, found.fault, token=found.name)
        return CheckedToken(found.id, found.name, sent)

    async def refuse(self, context: Context, why: str, **details: object) -> NoReturn:
        """Abort a call without a valid token, always with the same answer.

        `why` and `details` go to the log only.
        """
        reason = f"call refused: invalid join token: {why}"
        self._refusals.warn(reason, peer=context.peer(), **details)
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, _UNAUTHENTICATED)
        raise AssertionError

    def remember(self, worker: WorkerConnection) -> None:
        """Remember the newest connection of a worker."""
        self._workers.pop(worker.id, None)
        self._workers[worker.id] = worker
        if len(self._workers) > _WORKERS_MAX:
            oldest = next((each.id for each in self._workers.values() if each.closed), None)
            if oldest is not None:
                del self._workers[oldest]

    # ---- other calls ------------------------------------------------------------------------

    async def find_worker(self, worker_id: str, context: Context) -> WorkerConnection | None:
        """Return the newest connection of a worker, None if it has not registered here.

        Aborts the call if the id is not a UUID. If tokens are required, also aborts it unless the
        caller presents the token that the worker registered with.
        """
        found_id = _uuid(worker_id)
        worker = self._workers.get(found_id) if found_id else None
        if self._tokens_required and (
            worker is None or not compare_digest(_sent_digest(context), worker.digest)
        ):
            await self.refuse(context, "the worker did not register with it")
        if found_id is None:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "worker_id: must be a UUID.")
        return worker

    # ---- revoked and expired tokens ---------------------------------------------------------

    async def run(self) -> None:
        """End the streams of workers whose token is revoked or expired, until cancelled."""
        await run_every(_INTERVAL_S, self._expel_invalid, retry_on=OUTAGE_ERRORS)

    async def _expel_invalid(self) -> None:
        in_use = {
            worker.join_token for worker in self._workers.values() if worker.join_token is not None
        }
        if not in_use:
            return
        async with self._database.connection() as connection:
            invalid = await worker_store.list_invalid_join_tokens(connection, [*in_use])
        for worker in [each for each in self._workers.values() if each.join_token in invalid]:
            del self._workers[worker.id]
            self._worker_liveness.expel(worker)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _sent_digest(context: Context) -> str:
    """Return the digest of the token in the metadata, or an empty string without one."""
    header = str(dict(context.invocation_metadata() or ()).get("authorization", ""))
    if header[: len(_SCHEME)].lower() != _SCHEME:
        return ""
    return digest(header[len(_SCHEME) :])
