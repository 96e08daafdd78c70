"""Hosts that can be cut off: network namespaces, each on a cable of its own.

    namespace: process ─ loopback ─ relay ─ veth ═══ veth ─ relay ─ loopback ─ process: machine

Both sides use the same port numbers, so that an address that a coordinator tells is right
everywhere. A cut takes the inner end of the cable down: packets vanish, nobody is told.
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

#: Set aside for tests of networks (RFC 2544), so that no real host is hidden.
_NETWORK = "198.{}.{}"


class CannotCut(Exception):
    """Why no host can be cut off on this machine."""


class Hosts:
    """The namespaces of one checkout. A context: nothing is left of them afterwards."""

    def __init__(self, names: Sequence[str], checkout: Path = ROOT) -> None:
        digest = hashlib.sha256(str(checkout).encode()).hexdigest()
        #: Of this checkout: what a run that was killed left is found by it.
        self._prefix = f"tmc{digest[:6]}"
        number = int(digest[:8], 16)
        self._subnet = _NETWORK.format(18 + number % 2, number // 2 % 256)
        self._names = tuple(names)
        self._relays: list[subprocess.Popen[bytes]] = []
        #: Why there are none; empty when there are.
        self.missing = _reason_against()

    def __enter__(self) -> Hosts:
        if not self.missing:
            self.sweep()
            try:
                for name in self._names:
                    self._open(name)
            except CannotCut as error:
                self.missing = str(error)
                self.sweep()
        return self

    def __exit__(self, *_: object) -> None:
        for relay in self._relays:
            relay.kill()
            relay.wait()
        if not self.missing:
            self.sweep()

    # ---- what a run does with them ----------------------------------------------------------

    def inside(self, host: str, command: Sequence[str]) -> list[str]:
        """The command, run on that host."""
        if self.missing or host not in self._names:
            return list(command)
        return ["ip", "netns", "exec", self._namespace(host), *command]

    def carry(self, host: str, *, inward: Sequence[int] = (), outward: Sequence[int] = ()) -> None:
        """Carries ports: `inward` those that the host serves, `outward` those of the machine."""
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
        """From here on nothing gets through."""
        _ip("-n", self._namespace(host), "link", "set", self._inner(host), "down")

    def heal(self, host: str) -> None:
        """The cable is in again."""
        _ip("-n", self._namespace(host), "link", "set", self._inner(host), "up")

    def sweep(self) -> None:
        """Removes every namespace and cable of this checkout, and what runs inside."""
        for line in _ip("netns", "list").splitlines():
            name = line.split()[0] if line.strip() else ""
            if name.startswith(self._prefix):
                for pid in _ip("netns", "pids", name).split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
                _ip("netns", "del", name)
        # A namespace takes the cable's other end with it; one that was never plugged in stays.
        for line in _ip("-o", "link", "show", "type", "veth").splitlines():
            name = line.split()[1].partition("@")[0].rstrip(":")
            if name.startswith(self._prefix):
                with contextlib.suppress(CannotCut):
                    _ip("link", "del", name)

    # ---- how --------------------------------------------------------------------------------

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


def _reason_against() -> str:
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "the command ip is not installed (on Debian: apt-get install iproute2)"
    return ""


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotCut(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
