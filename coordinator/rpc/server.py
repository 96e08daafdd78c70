"""Serve the gRPC services of a coordinator on one port, with TLS if configured.

The standard health check and server reflection are served too.
"""

from __future__ import annotations

import logging

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from taskmaster.coordinator.rpc.client_calls import ClientCalls
from taskmaster.coordinator.rpc.decode_guard import DecodeGuard
from taskmaster.coordinator.rpc.schedule_service import ScheduleService
from taskmaster.coordinator.rpc.task_service import TaskService
from taskmaster.coordinator.rpc.worker_service import WorkerService
from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.proto import taskmaster_pb2_grpc as rpc
from taskmaster.tasks.errors import ConfigurationError
from taskmaster.workers.security.addresses import host_of
from taskmaster.workers.security.tls import ServerTls

log = logging.getLogger(__name__)

#: Options of the gRPC server. The minimum ping interval is 5 s because workers ping every 10 s.
#: gRPC's default of 300 s would close their connections with too_many_pings.
_OPTIONS = [
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Keepalive detects broken connections. Missed heartbeats detect frozen workers.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 15_000),
    ("grpc.http2.max_pings_without_data", 0),
    # The limit is above the largest arguments that a client may send. Arguments that are too large
    # are then rejected by validation, with a clear error. A bulk submission is sent in chunks.
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    # With port reuse a second coordinator could listen on the same port without an error.
    ("grpc.so_reuseport", 0),
]
_SERVICES = tuple(
    pb.DESCRIPTOR.services_by_name[name].full_name
    for name in ("TaskService", "ScheduleService", "WorkerService")
)
#: Seconds that open calls have to finish when the server stops.
_STOP_S = 1.0


class GrpcServer:
    """Run the gRPC server of one coordinator."""

    def __init__(self, tls: ServerTls | None) -> None:
        self._tls = tls
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(interceptors=[DecodeGuard()], options=_OPTIONS)

    def add_services(self, calls: ClientCalls, workers: WorkerService) -> None:
        """Add the services of clients and workers, the health check and reflection."""
        rpc.add_TaskServiceServicer_to_server(TaskService(calls), self._server)
        rpc.add_ScheduleServiceServicer_to_server(ScheduleService(calls), self._server)
        rpc.add_WorkerServiceServicer_to_server(workers, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            [*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server
        )

    async def start(self, address: str) -> None:
        """Listen on `host:port` and serve. Raises ConfigurationError if the port is not free."""
        try:
            port = self._open_port(address)
        except RuntimeError:
            port = 0
        if not port:
            raise ConfigurationError(
                f"Cannot listen on {address}: the port is taken, or the address does not belong to "
                "this machine. Choose another port with --port or TASKMASTER_GRPC_PORT, or another "
                "address with --host."
            )
        await self._server.start()
        await self.set_serving(True)

    def _open_port(self, address: str) -> int:
        if self._tls is None:
            return self._server.add_insecure_port(address)
        credentials = grpc.ssl_server_credentials(
            [(self._tls.pair.key, self._tls.pair.chain)],
            self._tls.client_ca,
            require_client_auth=self._tls.client_ca is not None,
        )
        return self._server.add_secure_port(address, credentials)

    async def set_serving(self, serving: bool) -> None:
        """Set the status of the gRPC health check for every service."""
        answer = health_pb2.HealthCheckResponse
        status = answer.SERVING if serving else answer.NOT_SERVING
        for name in ("", *_SERVICES):
            await self._health.set(name, status)

    async def set_stopping(self) -> None:
        """Answer NOT_SERVING to every health check from now on."""
        await self._health.enter_graceful_shutdown()

    async def stop(self) -> None:
        """Refuse new calls. Cancel open calls that do not finish within a second."""
        await self._server.stop(_STOP_S)


def warn_if_uncovered(tls: ServerTls | None, address: str) -> None:
    """Log a warning if the certificate does not cover the address that workers connect to."""
    if tls is not None and not tls.pair.covers(host_of(address)):
        log.warning(
            "the certificate does not cover the address that workers connect to; create it with "
            "--host for that address, or set TASKMASTER_GRPC_ADVERTISE to one that it covers",
            extra={"coordinator": address},
        )


def tls_details(tls: ServerTls | None) -> dict[str, object]:
    """Return the TLS details for the log, empty without TLS."""
    if tls is None:
        return {}
    return {
        "tls": "mutual" if tls.client_ca else "on",
        "certificate_until": f"{tls.pair.expires_at:%Y-%m-%d}",
    }
