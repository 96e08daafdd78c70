"""Build the parts of one coordinator, connect them, and start and stop them in order.

A task passes `dispatching` on its way from the database to a worker, and its report passes
`reporting` on the way back. `liveness` detects lost workers, coordinators and claims.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from taskmaster.coordinator import store
from taskmaster.coordinator.bulk_runner import BulkRunner
from taskmaster.coordinator.declared_schedules import DeclaredSchedules
from taskmaster.coordinator.dispatch import Dispatching
from taskmaster.coordinator.dispatch.offer_tokens import OfferTokens
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.listener import Listener
from taskmaster.coordinator.liveness import Liveness
from taskmaster.coordinator.pruning import Pruning
from taskmaster.coordinator.reports import Reporting
from taskmaster.coordinator.rpc.client_calls import ClientCalls
from taskmaster.coordinator.rpc.join_auth import JoinAuth
from taskmaster.coordinator.rpc.server import GrpcServer, tls_details, warn_if_uncovered
from taskmaster.coordinator.rpc.worker_service import WorkerService
from taskmaster.coordinator.schedules.runner import ScheduleRunner
from taskmaster.coordinator.store import Identity
from taskmaster.coordinator.support.database import (
    OUTAGE_ERRORS,
    Database,
    conninfo,
    direct_conninfo,
)
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.store import async_store as task_store
from taskmaster.workers.pools.reconciler import Reconciler
from taskmaster.workers.security.addresses import join_host_port, reachable_host
from taskmaster.workers.security.tls import ServerTls
from taskmaster.workers.store import async_store as worker_store

log = logging.getLogger(__name__)

#: Number of threads for client calls and chunks of bulk operations. Each may use a connection of
#: Django.
DJANGO_THREADS = 2
#: Seconds after which asyncio tasks that were cancelled and still run are cancelled again.
_CANCEL_S = 1.0


class Process:
    """Hold the parts of one coordinator, start them, and stop them."""

    def __init__(self, conf: Settings, host: str, port: int, tls: ServerTls | None = None) -> None:
        self._conf = conf
        self._tls = tls
        #: The address to listen on. Workers and other coordinators use `identity.address`.
        self._listen_address = join_host_port(host, port)
        self.identity = identity = Identity(
            id=uuid4(),
            address=conf.grpc_advertise or join_host_port(reachable_host(host), port),
            host=socket.gethostname(),
            pid=os.getpid(),
        )
        self.database = database = Database(conninfo(), conf)
        self.publisher = publisher = EventPublisher(database)
        self.threads = ThreadPoolExecutor(DJANGO_THREADS, thread_name_prefix="django")
        self.bulk_runner = BulkRunner(database, conf, publisher, self.threads)
        self.offer_tokens = OfferTokens(database)
        self.reporting = Reporting.build(
            conf,
            identity,
            database,
            publisher,
            on_pending=self._on_pending,
            tokens=self.offer_tokens,
        )
        self.dispatching = Dispatching.build(
            conf,
            identity,
            database,
            publisher,
            on_release=self.reporting.flusher.release,
            on_release_held=self.reporting.flusher.release_held,
            on_refuse=self.reporting.flusher.refuse,
            acknowledgements_late=self.reporting.flusher.is_late,
            sign=self.offer_tokens.sign,
            is_leader=self._is_leader,
        )
        # `liveness` is built below, before the reconciler runs.
        self.reconciler = Reconciler(
            database.connection, conf, publisher.add, lambda: self.liveness.peers.addresses
        )
        self.schedule_runner = ScheduleRunner(
            database,
            conf,
            identity.id,
            publisher,
            self.threads,
            leading=self.reconciler.leading,
            on_pending=self._on_pending,
        )
        self.pruning = Pruning(database, conf, leading=self.reconciler.leading)
        self.listener = Listener(
            direct_conninfo(),
            identity.id,
            database.outage,
            on_wake=self.dispatching.claimer.wake,
            on_cancel=self.dispatching.dispatcher.cancel,
            on_command=self.dispatching.dispatcher.send_command,
            on_watch=publisher.subscriptions_changed,
            on_operation=self.bulk_runner.wake,
            on_pool=self.reconciler.wake,
            on_schedule=self.schedule_runner.wake,
            on_pause=self.dispatching.pauses.wake,
            on_connect=self._register,
            leading=self.reconciler.leading,
            notify=database.notify,
        )
        self.server = GrpcServer(tls)
        self.liveness = Liveness.build(
            conf,
            identity,
            database,
            publisher,
            self.dispatching,
            self.reporting,
            self.listener,
            on_pending=self._on_pending,
            on_health_change=self.server.set_serving,
        )
        self.join_auth = JoinAuth(database, self.liveness.workers, tokens_required=tls is not None)
        self.server.add_services(
            ClientCalls(self.threads),
            WorkerService(
                conf,
                identity.id,
                self.dispatching,
                self.reporting,
                self.liveness,
                self.join_auth,
                self.offer_tokens,
            ),
        )
        self._registered = False

    def _is_leader(self) -> bool:
        """Return whether this coordinator leads. The reconciler is built later."""
        return self.reconciler.leading.is_set()

    def _on_pending(self) -> None:
        """Wake the claimers of all coordinators. The claimer is built after `reporting`."""
        self.dispatching.claimer.wake_all()

    async def _register(self) -> None:
        """Insert the coordinator's row when the listener has connected for the first time.

        The pauses are read before that. The claimer starts afterwards.

        The listener has tried to take the advisory lock by then. Other coordinators would soon
        declare a coordinator dead that has a row and no lock.
        """
        if not self._registered:
            await self.dispatching.pauses.read()
            async with self.database.connection() as connection:
                await self.offer_tokens.rotate(connection)
                await store.register_coordinator(connection, self.identity)
            self._registered = True

    # ---- run --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until SIGINT or SIGTERM.

        Raises ConfigurationError if the port is taken. Raises psycopg.OperationalError or
        psycopg_pool.PoolTimeout if the database cannot be reached at the start.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await self.database.open()
        try:
            await self._run(stop)
        finally:
            await self.database.close()

    async def _run(self, stop: asyncio.Event) -> None:
        dispatching, liveness = self.dispatching, self.liveness
        async with asyncio.TaskGroup() as group:
            # These start first and stop last. A shutdown still writes reports. The session of the
            # listener holds the lock that keeps other coordinators from taking over until then.
            base = _start(
                group,
                flusher=self.reporting.flusher.run,
                heartbeats=liveness.heartbeats.run,
                listener=self.listener.run,
                publisher=self.publisher.run,
            )
            await _first_of(self.listener.listening, stop)
            # These stop first, so that a stopping coordinator claims and rescues nothing more.
            duties = _start(
                group,
                worker_liveness=liveness.workers.run,
                join_auth=self.join_auth.run,
                peers=liveness.peers.run,
                health=liveness.health.run,
                loop_lag=liveness.health.loop_lag.run,
                figures=liveness.health.log_figures,
                claimer=dispatching.claimer.run,
                parking=dispatching.parking.run,
                pauses=dispatching.pauses.run,
                lost_claims=liveness.lost_claims.run,
                bulk_runner=self.bulk_runner.run,
                declared_schedules=DeclaredSchedules(self.threads).run,
                schedule_runner=self.schedule_runner.run,
                lookahead=dispatching.lookahead.run,
                offer_expiry=dispatching.offer_expiry.run,
                offer_tokens=self.offer_tokens.run,
                capacity=liveness.capacity.run,
                reconciler=self.reconciler.run,
                pruning=self.pruning.run,
            )
            await self.server.start(self._listen_address)
            address = self.identity.address
            warn_if_uncovered(self._tls, address)
            log.info("coordinator ready", extra={"coordinator": address, **tls_details(self._tls)})
            await stop.wait()
            log.info("coordinator stopping", extra={"coordinator": address})
            await self._stop(duties)
            await _cancel(base)

    # ---- shutdown ---------------------------------------------------------------------------

    async def _stop(self, duties: Iterable[asyncio.Task[None]]) -> None:
        """Stop claiming, release the tasks that no worker has accepted, and write pending reports.

        Wait at most `shutdown_grace_s` for the reports. Workers keep running the tasks that they
        have accepted, and reconnect to another coordinator.
        """
        await self.server.set_stopping()
        await _cancel(duties)
        self.reporting.flusher.release_held(self.dispatching.lookahead.clear())
        dispatcher = self.dispatching.dispatcher
        workers = list(dispatcher.workers.values())
        running = sum(len(dispatcher.disconnect(worker)) for worker in workers)
        await self.server.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._conf.shutdown_grace_s):
                await self.reporting.flusher.wait_until_written()
        with contextlib.suppress(*OUTAGE_ERRORS):
            await self._sign_off(running)
            await self.publisher.publish()

    async def _sign_off(self, running: int) -> None:
        """Release every task that no worker has accepted, and mark this coordinator offline.

        `running` is the number of tasks that workers still run. If it is not 0, the coordinator's
        row stays online.
        """
        async with self.database.connection() as connection:
            # Remove this coordinator from the tables of idle coordinators, capacity and names. It
            # takes no wake-up and no task any more.
            await task_store.mark_busy(connection, self.identity.id)
            await task_store.replace_capacity(connection, self.identity.id, [])
            await task_store.replace_known_names(connection, self.identity.id, [])
            # Release tasks that were claimed or about to be offered when the parts were stopped.
            await task_store.release_held_tasks(connection, self.identity.id, only_future=False)
            # The other coordinators can claim the released tasks now.
            await task_store.notify_idle(connection)
            if not running:
                # With running tasks the row stays online: a peer then finds the advisory lock free
                # and takes over those that no other coordinator has adopted by then.
                await worker_store.mark_workers_offline_of(connection, self.identity.id)
                await store.mark_coordinator_offline(connection, self.identity.id)


def _start(
    group: asyncio.TaskGroup, **loops: Callable[[], Coroutine[None, None, None]]
) -> list[asyncio.Task[None]]:
    """Start loops as asyncio tasks with the given names."""
    return [group.create_task(run(), name=name) for name, run in loops.items()]


async def _first_of(*events: asyncio.Event) -> None:
    """Wait until one of the events is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel asyncio tasks repeatedly until they have ended.

    One cancellation may get lost. If the connection that psycopg waits on breaks at that moment,
    psycopg raises the connection's error instead of CancelledError, and the part retries.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_S)
