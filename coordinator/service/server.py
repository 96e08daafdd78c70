"""The gRPC server of a coordinator and its port, with TLS where there is a certificate."""

from __future__ import annotations

import logging

import grpc

from coordinator.service.parsing import Parsing
from tasks.errors import ConfigurationError
from workers.joining.addresses import host_of
from workers.joining.tls import ServerTls

log = logging.getLogger(__name__)

#: Clients may ping this often (the workers do every 10 s); gRPC's own minimum of 300 s would end
#: their connections with too_many_pings.
_OPTIONS = [
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Of a worker that is frozen the heartbeats tell, not this.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 15_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Above the largest arguments that a client may send, so that they are refused by the rule that
    # they break; a bulk travels in chunks.
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    # Without it a second coordinator could listen on the same port unseen.
    ("grpc.so_reuseport", 0),
]


def new_server() -> grpc.aio.Server:
    """A server without services."""
    return grpc.aio.server(interceptors=[Parsing()], options=_OPTIONS)


def listen(server: grpc.aio.Server, address: str, tls: ServerTls | None) -> None:
    """Opens `host:port`. Raises ConfigurationError when that cannot be."""
    try:
        port = _open(server, address, tls)
    except RuntimeError:
        port = 0
    if not port:
        raise ConfigurationError(
            f"Port {address} is taken, or the address is not this machine's; choose another with "
            "--port or TASKMASTER_GRPC_PORT, or with --host."
        )


def in_words(tls: ServerTls | None, address: str) -> dict[str, object]:
    """What the log says of TLS, with a warning when workers are told an address in vain."""
    if tls is None:
        return {}
    if not tls.pair.covers(host_of(address)):
        log.warning(
            "the certificate does not name the address that workers are told: sign it with --host "
            "for that, or set TASKMASTER_GRPC_ADVERTISE",
            extra={"coordinator": address},
        )
    return {
        "tls": "mutual" if tls.client_ca else "on",
        "certificate_until": f"{tls.pair.expires_at:%Y-%m-%d}",
    }


def _open(server: grpc.aio.Server, address: str, tls: ServerTls | None) -> int:
    if tls is None:
        return server.add_insecure_port(address)
    credentials = grpc.ssl_server_credentials(
        [(tls.pair.key, tls.pair.chain)],
        tls.client_ca,
        require_client_auth=tls.client_ca is not None,
    )
    return server.add_secure_port(address, credentials)
