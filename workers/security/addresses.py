"""Handle addresses `host:port` and detect those that stay on this host."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence


def join_host_port(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reachable_host(host: str) -> str:
    """Return the name by which other hosts reach a server that listens on `host`."""
    return socket.gethostname() if host in ("0.0.0.0", "::") else host


def host_of(address: str) -> str:
    """Return the host of `host:port`, without brackets."""
    return address.rpartition(":")[0].strip("[]")


def is_loopback(address: str) -> bool:
    """Return whether `host:port` stays on this host."""
    return is_loopback_host(host_of(address))


def is_loopback_host(host: str) -> bool:
    """Return whether the host is a loopback name or address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def filter_usable(received: Iterable[str], configured: Sequence[str], *, tls: bool) -> list[str]:
    """Return the received addresses that this worker may use.

    Addresses of other hosts need TLS. Loopback addresses are left out if the worker uses TLS and
    none of its configured coordinators is on this host, because they belong to the coordinator's
    host.
    """
    here = not tls or any(map(is_loopback, configured))
    return [address for address in received if (here if is_loopback(address) else tls)]
