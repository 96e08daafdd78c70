"""Provide hosts that can be disconnected: network namespaces, each on its own cable.

    namespace: process ─ loopback ─ relay ─ veth ═══ veth ─ relay ─ loopback ─ process: machine

Both sides use the same port numbers, so that the address that a coordinator publishes is valid
everywhere. A cut takes the inner end of the cable down: packets are dropped silently.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from chaos.leftovers import ROOT, marked

#: Reserved for network tests (RFC 2544), so that no real host is hidden.
_NETWORK = "198.{}.{}"


class NamespacesUnavailable(Exception):
    """Report that this machine has no network namespaces. The message is the reason."""


class Hosts:
    """Manage the namespaces of one checkout. Leaving the context removes all of them."""

    def __init__(self, names: Sequence[str], checkout: Path = ROOT) -> None:
        digest = hashlib.sha256(str(checkout).encode()).hexdigest()
        #: Derived from the checkout, so that a later run finds what a killed run left.
        self._prefix = f"tmc{digest[:6]}"
        number = int(digest[:8], 16)
        self._subnet = _NETWORK.format(18 + number % 2, number // 2 % 256)
        self._names = tuple(names)
        self._relays: list[subprocess.Popen[bytes]] = []
        #: The reason why there are no namespaces; empty if there are.
        self.missing = _missing_requirement()

    def __enter__(self) -> Hosts:
        if not self.missing:
            self.sweep()
            try:
                for name in self._names:
                    self._open(name)
            except NamespacesUnavailable as error:
                self.missing = str(error)
                self.sweep()
        return self

    def __exit__(self, *_: object) -> None:
        for relay in self._relays:
            relay.kill()
            relay.wait()
        if not self.missing:
            self.sweep()

    # ---- operations of a run ----------------------------------------------------------------

    def inside(self, host: str, command: Sequence[str]) -> list[str]:
        """Return the command line that runs `command` on the host."""
        if self.missing or host not in self._names:
            return list(command)
        return ["ip", "netns", "exec", self._namespace(host), *command]

    def carry(self, host: str, *, inward: Sequence[int] = (), outward: Sequence[int] = ()) -> None:
        """Relay ports: `inward` those that the host serves, `outward` those that the machine
        serves.
        """
        if self.missing:
            return
        here, there = self._address(host, 1), self._address(host, 2)
        self._relay(
            [f"127.0.0.1:{port}={there}:{port}" for port in inward]
            + [f"{here}:{port}=127.0.0.1:{port}" for port in outward]
        )
        self._relay(
            [f"{there}:{port}=127.0.0.1:{port}" for port in inward]
            + [f"127.0.0.1:{port}={here}:{port}" for port in outward],
            host,
        )

    def cut(self, host: str) -> None:
        """Drop all packets of the host from now on."""
        _ip("-n", self._namespace(host), "link", "set", self._inner(host), "down")

    def heal(self, host: str) -> None:
        """Reconnect the host."""
        _ip("-n", self._namespace(host), "link", "set", self._inner(host), "up")

    def sweep(self) -> None:
        """Remove every namespace and cable of this checkout, and kill the processes inside."""
        for line in _ip("netns", "list").splitlines():
            name = line.split()[0] if line.strip() else ""
            if name.startswith(self._prefix):
                for pid in _ip("netns", "pids", name).split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
                _ip("netns", "del", name)
        # Deleting a namespace deletes the cable's other end; cables outside a namespace remain.
        for line in _ip("-o", "link", "show", "type", "veth").splitlines():
            name = line.split()[1].partition("@")[0].rstrip(":")
            if name.startswith(self._prefix):
                with contextlib.suppress(NamespacesUnavailable):
                    _ip("link", "del", name)

    # ---- implementation ---------------------------------------------------------------------

    def _open(self, host: str) -> None:
        space, outer, inner = self._namespace(host), f"{self._inner(host)}o", self._inner(host)
        _ip("netns", "add", space)
        _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", space)
        _ip("address", "add", f"{self._address(host, 1)}/30", "dev", outer)
        _ip("link", "set", outer, "up")
        _ip("-n", space, "address", "add", f"{self._address(host, 2)}/30", "dev", inner)
        _ip("-n", space, "link", "set", "lo", "up")
        _ip("-n", space, "link", "set", inner, "up")

    def _relay(self, routes: Sequence[str], host: str = "") -> None:
        command = self.inside(host, [sys.executable, "-m", "chaos.relay", *routes])
        self._relays.append(
            subprocess.Popen(command, cwd=ROOT, env=marked(), start_new_session=True)
        )

    def _namespace(self, host: str) -> str:
        return f"{self._prefix}-{host}"

    def _inner(self, host: str) -> str:
        return f"{self._prefix}{self._names.index(host)}"

    def _address(self, host: str, end: int) -> str:
        return f"{self._subnet}.{4 * self._names.index(host) + end}"


def _missing_requirement() -> str:
    if sys.platform != "linux":
        return "network namespaces need Linux"
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "the command `ip` is not installed (on Debian: apt-get install iproute2)"
    return ""


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NamespacesUnavailable(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
