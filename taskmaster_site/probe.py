"""Asks a process of this machine or container whether it is well, for health checks.

    python -m taskmaster_site.probe web | coordinator | worker

Exit code 0 when it is; else 1 and one line that says why not. `web`: `/healthz` answers 200.
`coordinator`: its gRPC health check says SERVING, over TLS if it has a certificate.
`worker`: it has a connection to a coordinator. A worker without one goes on with what it runs, so
this tells whether it gets work, and is no reason to kill it.
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


class Unwell(Exception):
    """The message says what is wrong."""


def web(environ: Mapping[str, str]) -> None:
    """Raises Unwell unless the web process on PORT (8000) answers `/healthz` with 200."""
    # A name that it serves: any other is refused.
    host = (environ.get("TASKMASTER_ALLOWED_HOSTS") or "localhost").split(",")[0].strip()
    port = int(environ.get("PORT", "8000"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz", headers={"Host": host.lstrip(".")})
        answer = connection.getresponse()
        if answer.status != 200:
            raise Unwell(f"/healthz answers {answer.status}: {answer.read(200).decode()}")
    except OSError as error:
        raise Unwell(f"no answer on port {port}: {error}") from None
    finally:
        connection.close()


def coordinator(environ: Mapping[str, str]) -> None:
    """Raises Unwell unless the coordinator says SERVING."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    host = environ.get("TASKMASTER_GRPC_HOST", "127.0.0.1")
    # On every address: also on this one, which is in its certificate.
    host = "localhost" if host in ("0.0.0.0", "::") else host
    address = f"{host}:{environ.get('TASKMASTER_GRPC_PORT', '50051')}"
    try:
        with _channel(address, environ) as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_S
            )
    except grpc.RpcError as error:
        raise Unwell(f"{address} does not answer: {error.details()}") from None
    except OSError as error:
        raise Unwell(f"its certificate cannot be read: {error}") from None
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise Unwell(f"{address} does not serve")


def _channel(address: str, environ: Mapping[str, str]) -> grpc.Channel:
    import grpc

    certificate, key = environ.get("TASKMASTER_TLS_CERT"), environ.get("TASKMASTER_TLS_KEY")
    if not certificate or not key:
        return grpc.insecure_channel(address)
    authority = environ.get("TASKMASTER_TLS_CA")
    files = [Path(path).read_bytes() if path else None for path in (authority, key, certificate)]
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(*files))


def worker(environ: Mapping[str, str]) -> None:
    """Raises Unwell unless somebody here is connected to a port of TASKMASTER_COORDINATORS."""
    addresses = environ.get("TASKMASTER_COORDINATORS", "127.0.0.1:50051")
    ports = {int(each.rpartition(":")[2]) for each in addresses.split(",") if each.strip()}
    tables = [Path(f"/proc/net/{name}") for name in ("tcp", "tcp6")]
    lines = [line for table in tables if table.exists() for line in _lines(table)]
    # Columns: number, local address, remote address, state, …
    if not any(
        state == _ESTABLISHED and int(remote.rpartition(":")[2], 16) in ports
        for _, _, remote, state, *_ in map(str.split, lines)
    ):
        raise Unwell(f"no connection to any of {addresses}")


def _lines(table: Path) -> list[str]:
    return table.read_text().splitlines()[1:]


_PROBES: dict[str, Callable[[Mapping[str, str]], None]] = {
    "web": web,
    "coordinator": coordinator,
    "worker": worker,
}


def main(argv: list[str]) -> int:
    """Asks; returns the exit code."""
    if len(argv) != 1 or argv[0] not in _PROBES:
        print(f"Name one of {', '.join(_PROBES)}.", file=sys.stderr)
        return 2
    try:
        _PROBES[argv[0]](os.environ)
    except Unwell as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
