"""Check the health of a process on this machine or in this container.

    python -m taskmaster.taskmaster_site.monitoring.probe web | coordinator | worker

Exits with 0 if the process is healthy, otherwise with 1 and one line that gives the reason.
`web`: `/healthz` answers 200. `coordinator`: its gRPC health check reports SERVING, over TLS if it
has a certificate. `worker`: it has a connection to a coordinator. A worker without a connection
continues its running tasks. Use this probe for readiness, not to restart the worker.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc

_TIMEOUT_S = 4.0
#: TCP_ESTABLISHED in /proc/net/tcp.
_ESTABLISHED = "01"


class Unhealthy(Exception):
    """Report an unhealthy process. The message gives the reason."""


def web(environ: Mapping[str, str]) -> None:
    """Raise Unhealthy unless the web process on PORT (8000) answers `/healthz` with 200."""
    # The Host header must be in ALLOWED_HOSTS.
    host = (environ.get("TASKMASTER_ALLOWED_HOSTS") or "localhost").split(",")[0].strip()
    port = int(environ.get("PORT", "8000"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz", headers={"Host": host.lstrip(".")})
        response = connection.getresponse()
        if response.status != 200:
            raise Unhealthy(f"/healthz returned {response.status}: {response.read(200).decode()}")
    except OSError as error:
        raise Unhealthy(f"web process on port {port} does not answer: {error}") from None
    finally:
        connection.close()


def coordinator(environ: Mapping[str, str]) -> None:
    """Raise Unhealthy unless the coordinator reports SERVING."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    host = environ.get("TASKMASTER_GRPC_HOST", "127.0.0.1")
    # A coordinator on all interfaces is reachable as localhost, which its certificate contains.
    host = "localhost" if host in ("0.0.0.0", "::") else host
    address = f"{host}:{environ.get('TASKMASTER_GRPC_PORT', '50051')}"
    try:
        with _channel(address, environ) as channel:
            response = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_S
            )
    except grpc.RpcError as error:
        raise Unhealthy(f"coordinator {address} does not answer: {error.details()}") from None
    except OSError as error:
        raise Unhealthy(f"a file of TASKMASTER_TLS_* cannot be read: {error}") from None
    if response.status != health_pb2.HealthCheckResponse.SERVING:
        raise Unhealthy(f"coordinator {address} reports NOT_SERVING")


def _channel(address: str, environ: Mapping[str, str]) -> grpc.Channel:
    import grpc

    certificate, key = environ.get("TASKMASTER_TLS_CERT"), environ.get("TASKMASTER_TLS_KEY")
    if not certificate or not key:
        return grpc.insecure_channel(address)
    authority = environ.get("TASKMASTER_TLS_CA")
    files = [Path(path).read_bytes() if path else None for path in (authority, key, certificate)]
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(*files))


def worker(environ: Mapping[str, str]) -> None:
    """Raise Unhealthy unless a TCP connection to a port of TASKMASTER_COORDINATORS is established.

    Reads /proc, which covers the network namespace of the container.
    """
    addresses = environ.get("TASKMASTER_COORDINATORS", "127.0.0.1:50051")
    ports = {int(each.rpartition(":")[2]) for each in addresses.split(",") if each.strip()}
    tables = [Path(f"/proc/net/{name}") for name in ("tcp", "tcp6")]
    lines = [line for table in tables if table.exists() for line in _lines(table)]
    # Columns: number, local address, remote address, state, …
    if not any(
        state == _ESTABLISHED and int(remote.rpartition(":")[2], 16) in ports
        for _, _, remote, state, *_ in map(str.split, lines)
    ):
        raise Unhealthy(f"no connection to a coordinator of TASKMASTER_COORDINATORS: {addresses}")


def _lines(table: Path) -> list[str]:
    return table.read_text().splitlines()[1:]


_PROBES: dict[str, Callable[[Mapping[str, str]], None]] = {
    "web": web,
    "coordinator": coordinator,
    "worker": worker,
}


def main(argv: list[str]) -> int:
    """Run the named probe and return the exit code."""
    if len(argv) != 1 or argv[0] not in _PROBES:
        print(
            f"usage: python -m taskmaster.taskmaster_site.monitoring.probe {'|'.join(_PROBES)}",
            file=sys.stderr,
        )
        return 2
    try:
        _PROBES[argv[0]](os.environ)
    except Unhealthy as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
