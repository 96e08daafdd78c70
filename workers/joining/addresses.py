"""Addresses `host:port`, and which of them stay on this machine."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence


def joined(host: str, port: int) -> str:
    """`host:port`, with brackets round an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def found_under(host: str) -> str:
    """The name under which others find who listens on `host`, all addresses perhaps."""
    return socket.gethostname() if host in ("0.0.0.0", "::") else host


def host_of(address: str) -> str:
    """The host of `host:port`, without brackets."""
    return address.rpartition(":")[0].strip("[]")


def is_loopback(address: str) -> bool:
    """Whether `host:port` stays on this machine."""
    return is_loopback_host(host_of(address))


def is_loopback_host(host: str) -> bool:
    """The same of a host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def usable(told: Iterable[str], configured: Sequence[str], *, tls: bool) -> list[str]:
    """The addresses a worker was told of that are meant for it.

    Beyond this machine nothing is said without TLS; and what a coordinator on another host calls
    its loopback is not this worker's.
    """
    here = not tls or any(map(is_loopback, configured))
    return [address for address in told if (here if is_loopback(address) else tls)]
