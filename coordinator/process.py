"""One coordinator: builds the parts, starts and stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from coordinator import store
from coordinator.announcer import Announcer
from coordinator.capacity import CapacityWriter
from coordinator.claimer import Claimer
from coordinator.database import TROUBLE, Database, conninfo, direct_conninfo
from coordinator.dispatcher import Dispatcher
from coordinator.flusher import Flusher
from coordinator.forgotten import Forgotten
from coordinator.held import Held
from coordinator.lifeline import Lifeline
from coordinator.listener import Listener
from coordinator.operator import Operator
from coordinator.peers import Peers
from coordinator.service.clients import TaskService
from coordinator.service.gate import Gate
from coordinator.service.server import in_words, listen, new_server
from coordinator.service.workers import WorkerService
from coordinator.store import Identity
from coordinator.strangers import Strangers
from coordinator.vitals import Vitals
from proto import taskmaster_pb2 as pb
from proto import taskmaster_pb2_grpc as rpc
from tasks import store as task_store
from tasks.conf import Settings
from workers import store as worker_store
from workers.joining.addresses import found_under, joined
from workers.joining.tls import ServerTls
from workers.pools.reconciler import Reconciler

log = logging.getLogger(__name__)

_SERVICES = ("TaskService", "WorkerService")
#: Client calls and chunks of operations that run at the same time, in threads.
DJANGO_THREADS = 2
#: How long calls under way may take when the server stops.
_STOP_S = 1.0
#: What was cancelled and has not ended by then is cancelled again.
_CANCEL_S = 1.0


class Process:
    """The parts of one coordinator and their wiring."""

    def __init__(self, conf: Settings, host: str, port: int, tls: ServerTls | None = None) -> None:
        coordinator = uuid4()
        self.conf = conf
        self.tls = tls
        #: Where it listens; its identity's address is where others find it.
        self.listens_on = joined(host, port)
        self.identity = Identity(
            id=coordinator,
            address=conf.grpc_advertise or joined(found_under(host), port),
            host=socket.gethostname(),
            pid=os.getpid(),
        )
        self.database = Database(conninfo(), conf)
        self.announcer = Announcer(self.database, conf)
        self.threads = ThreadPoolExecutor(DJANGO_THREADS, thread_name_prefix="django")
        self.operator = Operator(self.database, conf, self.announcer, self.threads)
        self.flusher = Flusher(
            self.database, conf, coordinator, self.announcer, on_pending=self._on_pending
        )
        self.dispatcher = Dispatcher(
            conf,
            on_room=self._on_room,
            on_join=self._on_join,
            on_release=self.flusher.release,
            receipts_late=lambda: self.flusher.late,
        )
        self.held = Held(self.database, self.dispatcher, conf, on_release=self.flusher.release)
        self.claimer = Claimer(
            self.database,
            self.dispatcher,
            self.held,
            conf,
            coordinator,
            self.announcer,
            on_release=self.flusher.release,
        )
        self.forgotten = Forgotten(
            self.database,
            self.dispatcher,
            self.held,
            self.flusher,
            coordinator,
            on_release=self.flusher.release,
        )
        self.lifeline = Lifeline(
            self.database,
            self.dispatcher,
            self.flusher,
            conf,
            self.identity,
            self.announcer,
            on_pending=self._on_pending,
        )
        self.reconciler = Reconciler(
            self.database.connection, conf, self.announcer.note, lambda: self.peers.addresses
        )
        self.gate = Gate(self.database, self.lifeline, tokens=tls is not None)
        self.listener = Listener(
            direct_conninfo(),
            coordinator,
            self.database.trouble,
            on_wake=self.claimer.wake,
            on_cancel=self.dispatcher.cancel,
            on_worker=self.dispatcher.command,
            on_watch=self.announcer.watch_changed,
            on_operation=self.operator.wake,
            on_pool=self.reconciler.wake,
            on_connect=self._register,
            leading=self.reconciler.leading,
            notify=self.database.notify,
        )
        self.vitals = Vitals(
            conf,
            self.database,
            self.dispatcher,
            self.held,
            self.claimer,
            self.flusher,
            self.listener,
            on_change=self._serve,
        )
        self.peers = Peers(
            self.database,
            conf,
            self.identity,
            self.announcer,
            beat=self.vitals.beat,
            on_pending=self._on_pending,
        )
        self.capacity = CapacityWriter(self.database, self.dispatcher, coordinator)
        self._registered = False
        self.health = health.aio.HealthServicer()
        self.server = new_server()

    def _on_pending(self) -> None:
        self.claimer.wake_all()

    def _on_join(self) -> None:
        self.claimer.wake()

    def _on_room(self) -> None:
        self.held.room_freed()
        self.claimer.room_freed()

    async def _register(self) -> None:
        if not self._registered:
            async with self.database.connection() as connection:
                await store.register(connection, self.identity)
            self._registered = True

    async def run(self) -> None:
        """Runs until SIGINT or SIGTERM.

        Raises ConfigurationError when the port is taken, psycopg.OperationalError when the
        database cannot be reached at the start.
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
        self._add_services()
        async with asyncio.TaskGroup() as group:
            flushing = group.create_task(self.flusher.run(), name="flusher")
            beating = group.create_task(self.lifeline.run_heartbeats(), name="heartbeats")
            listening = group.create_task(self.listener.run(), name="listener")
            announcing = group.create_task(self.announcer.run(), name="announcer")
            await self._until(self.listener.listening, stop)
            deciding = [
                group.create_task(part.run(), name=name)
                for name, part in (
                    ("lifeline", self.lifeline),
                    ("gate", self.gate),
                    ("peers", self.peers),
                    ("vitals", self.vitals),
                    ("lag", self.vitals.lag),
                    ("claimer", self.claimer),
                    ("forgotten", self.forgotten),
                    ("operator", self.operator),
                    ("held", self.held),
                    ("dispatcher", self.dispatcher),
                    ("capacity", self.capacity),
                    ("reconciler", self.reconciler),
                )
            ]
            deciding.append(group.create_task(self.vitals.log_figures(), name="figures"))
            await self._listen()
            await stop.wait()
            log.info("coordinator stops", extra={"coordinator": self.identity.address})
            await self._stop(deciding)
            await _end([flushing, beating, listening, announcing])

    @staticmethod
    async def _until(event: asyncio.Event, stop: asyncio.Event) -> None:
        waits = [asyncio.create_task(event.wait()), asyncio.create_task(stop.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _add_services(self) -> None:
        rpc.add_TaskServiceServicer_to_server(TaskService(self.threads), self.server)
        workers = WorkerService(
            self.dispatcher,
            self.flusher,
            self.lifeline,
            self.conf,
            self.identity.id,
            coordinators=lambda: self.peers.addresses,
            held=self.held.leases,
            strangers=Strangers(self.database),
            gate=self.gate,
        )
        rpc.add_WorkerServiceServicer_to_server(workers, self.server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        names = [pb.DESCRIPTOR.services_by_name[name].full_name for name in _SERVICES]
        reflection.enable_server_reflection(
            [*names, health.SERVICE_NAME, reflection.SERVICE_NAME], self.server
        )

    async def _listen(self) -> None:
        listen(self.server, self.listens_on, self.tls)
        await self.server.start()
        await self._serve(True)
        address = self.identity.address
        log.info("coordinator ready", extra={"coordinator": address, **in_words(self.tls, address)})

    async def _serve(self, well: bool) -> None:
        """Says in the health check whether this coordinator does its work."""
        answer = health_pb2.HealthCheckResponse
        status = answer.SERVING if well else answer.NOT_SERVING
        for name in ("", *(pb.DESCRIPTOR.services_by_name[each].full_name for each in _SERVICES)):
            await self.health.set(name, status)

    async def _stop(self, deciding: list[asyncio.Task[None]]) -> None:
        """No more claims; what nobody has begun goes back; reports under way are written."""
        await self.health.enter_graceful_shutdown()
        await _end(deciding)
        self.flusher.release(self.held.clear())
        links = list(self.dispatcher.links.values())
        running = sum(len(self.dispatcher.disconnect(link)) for link in links)
        await self.server.stop(_STOP_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.conf.shutdown_grace_s):
                await self.flusher.drained()
        with contextlib.suppress(*TROUBLE):
            await self._sign_off(running)
            await self.announcer.publish()

    async def _sign_off(self, running: int) -> None:
        async with self.database.connection() as connection:
            await task_store.stay_awake(connection, self.identity.id)
            await task_store.write_capacity(connection, self.identity.id, [])
            # What was claimed or about to be offered when the parts were stopped.
            await task_store.release_held(connection, self.identity.id, future=False)
            await task_store.wake(connection)
            if not running:
                # Else whoever is alive finds the lock free and looks after what still runs.
                await worker_store.orphaned(connection, self.identity.id)
                await store.offline(connection, self.identity.id)


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancels them until they have ended.

    Once is not enough: where the connection breaks on which psycopg waits at that moment, the
    cancellation comes out as the connection's error, and the part tries again.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_S)
